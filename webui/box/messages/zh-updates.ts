import type { updatesEn } from './en-updates.ts';

export const updatesZh: Record<keyof typeof updatesEn, string> = {
  'update.title': '上次更新',
  'update.byPackage': '只能通过安装新软件包来更新',
  'update.updated': '版本 {version} 已安装，通过自检，正在运行。',
  'update.failed': '版本 {version} 未被采用，盒子继续使用原来的版本。',
  'update.downloading': '正在下载版本 {version}：{percent}%。',
  'update.waiting': '版本 {version} 正在等待。',
  'update.installed': '版本 {version} 已准备好。',
  'update.trial': '正在试运行版本 {version}。如果它不能正常工作，盒子会自动恢复原来的版本。',
  'update.why.time': '盒子还不知道当前时间。',
  'update.why.disk': '硬盘无法写入。',
  'update.why.paused': '您已暂停盒子。',
  'update.why.link': '盒子没有连接到运营方。',
  'update.why.window': '将在运营方选定的时段内开始。',
  'update.why.line': '未能完整下载，盒子会自动重试。',
  'update.why.release_malformed': '运营方发布的数据无法读取，您无需处理。',
  'update.why.release_signature': '运营方发布的内容没有按要求签名，您无需处理。',
  'update.why.release_expired': '运营方发布的内容已过期，您无需处理。',
};
