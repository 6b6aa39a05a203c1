import type { awayEn } from './en-away.ts';

export const awayZh: { readonly [K in keyof typeof awayEn]: string } = {
  'away.title': '在外访问本页面',
  'away.lead':
    '您可以经由机群的中继在任何地方打开本页面。它会先要求输入密钥，再要求输入本页面的密码。中继能看到传输的内容：不需要时请保持关闭。',
  'away.on': '已开启',
  'away.off': '已关闭',
  'away.turnOn': '开启',
  'away.turnOff': '关闭',
  'away.newKey': '生成新密钥',
  'away.key': '您的密钥',
  'away.keyOnce': '请妥善保管：它只显示这一次。您可以随时生成新的密钥。',
  'away.address': '地址',
  'away.noRelay': '机群尚未告知地址。这需要片刻；有些机群没有支持此功能的中继。',
  'away.since': '开启于',
  'away.lastUsed': '最近使用',
  'away.never': '从未',
  'away.from': '来自 {address}',
  'away.now': '目前登录的人',
  'away.atHome': '新密钥须在家中生成。',
};
