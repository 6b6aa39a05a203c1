import { createHash } from 'node:crypto';

/**
 * The relay's own pages at a box's address: where the key is asked for, and why there is nothing to be seen. As the
 * dashboard looks (webui/shared/styles/tokens.css), without a script and with nothing from elsewhere.
 */
const STYLE = `:root{color-scheme:light;--bg:#f2f3f0;--surface:#fff;--line:#dde0da;--edge:#868d85;--ink:#1b1f1c;--soft:#545b55;--on:#fff;--bad:#ab231b;--badsoft:#fae2df;--note:#f7eacb;--noteink:#7d5100;--focus:#1558c0}
@media(prefers-color-scheme:dark){:root{color-scheme:dark;--bg:#121513;--surface:#1b1f1c;--line:#303631;--edge:#7a827b;--ink:#eef0ec;--soft:#a8b0a9;--on:#141715;--bad:#ff9d93;--badsoft:#401f1c;--note:#372d15;--noteink:#e8bd60;--focus:#8bb8ff}}
*{box-sizing:border-box;margin:0}
body{background:var(--bg);color:var(--ink);font:16px/1.5 -apple-system,BlinkMacSystemFont,"Segoe UI",Roboto,"Helvetica Neue","Noto Sans","Noto Sans CJK SC","PingFang SC","Microsoft YaHei",sans-serif}
main{display:grid;align-content:center;justify-items:center;gap:24px;min-height:100vh;min-height:100dvh;padding:24px 16px 64px}
.brand{display:inline-flex;align-items:center;gap:10px;font-size:1.125rem;font-weight:700}
.brand svg{width:30px;height:30px}
.card{display:grid;gap:20px;width:100%;max-width:440px;padding:28px 24px;border:1px solid var(--line);border-radius:14px;background:var(--surface)}
h1{font-size:1.625rem;line-height:1.25;letter-spacing:-.015em}
p,label,code{overflow-wrap:anywhere}
.soft{color:var(--soft)}.small{font-size:.875rem}
.note{padding:12px 14px;border-radius:8px;background:var(--note);color:var(--noteink)}
.note.bad{background:var(--badsoft);color:var(--bad)}
form,.field{display:grid;gap:8px}form{gap:20px}
label{font-weight:700}
input{width:100%;min-height:46px;padding:9px 13px;border:1px solid var(--edge);border-radius:8px;background:var(--surface);color:inherit;font:inherit;font-family:ui-monospace,"SF Mono",Menlo,Consolas,"DejaVu Sans Mono",monospace}
input[aria-invalid]{border-color:var(--bad)}
.button{display:inline-flex;align-items:center;justify-content:center;min-height:44px;padding:8px 18px;border:1px solid var(--ink);border-radius:999px;background:var(--ink);color:var(--on);font:inherit;font-weight:700;text-decoration:none;cursor:pointer}
:focus-visible{outline:3px solid var(--focus);outline-offset:2px}`;

/** Of these pages; their form comes back here alone. */
export const DOOR_CSP = `default-src 'none'; style-src 'sha256-${createHash('sha256').update(STYLE).digest('base64')}'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'`;

const MARK =
  '<svg viewBox="0 0 64 64" aria-hidden="true"><path d="M6 60V28a26 26 0 0 1 52 0v32z" fill="#2b322d" stroke="#555e57" stroke-width="3"/><path d="M14 60V29a18 18 0 0 1 36 0v31z" fill="#0f1210"/><path d="M32 21c2 7 11 11 11 22a11 11 0 0 1-22 0c0-5 3-8 5-10 0 3 1 5 3 6 1-6 1-12 3-18z" fill="#f26a2e"/><path d="M32.5 36c1 4 5 6 5 11a5.5 5.5 0 0 1-11 0c0-3 1.5-4 2.5-5.5.5 1.5 1 2 2 2.5 0-3 .5-5 1.5-8z" fill="#ffc46b"/><path d="M17 57h30" stroke="#7a4a2c" stroke-width="5" stroke-linecap="round"/></svg>';

const EN = {
  title: 'Your box, from away',
  lead: 'Enter the key that your box showed when this was switched on at home. After it comes the password of its page.',
  key: 'Key',
  hint: '25 letters and digits. Capitals, spaces and hyphens do not matter.',
  button: 'Go on',
  box: 'Box',
  wrong:
    'This key does not open this box. It may be mistyped, it may have been replaced, or this was switched off at home.',
  slow: 'Too many tries from your network. Wait a minute, then try again.',
  ended: 'You are not in any more: your visit has ended, or was ended. Enter the key again.',
  again: 'Try again',
  offline: {
    title: 'Your box is not connected',
    text: 'It may be switched off, or your home may have no internet just now. It comes back by itself when it has a connection.',
  },
  nothing: {
    title: 'There is nothing here',
    text: 'Is the address whole? It ends with the name of your box, as its settings at home show it.',
  },
  busy: {
    title: 'Too many requests',
    text: 'Too much was asked from your network. Wait a moment, then try again.',
  },
  trouble: {
    title: 'This does not work just now',
    text: 'The fault is with the relay, not with you or your box. Try again in a moment.',
  },
  unbuilt: {
    title: 'This relay has no pages',
    text: 'Whoever runs it has not built the dashboard on it (npm run build:webui).',
  },
};
const ZH: typeof EN = {
  title: '在外访问您的盒子',
  lead: '请输入您在家中开启此功能时盒子显示的密钥。之后还需要输入其页面的密码。',
  key: '密钥',
  hint: '共 25 个字母和数字。大小写、空格和连字符均可忽略。',
  button: '继续',
  box: '盒子',
  wrong: '此密钥打不开这台盒子。可能输入有误、密钥已被更换，或已在家中关闭此功能。',
  slow: '您的网络尝试次数过多。请等待一分钟后再试。',
  ended: '您的访问已结束或已被结束。请重新输入密钥。',
  again: '重试',
  offline: {
    title: '您的盒子没有连接',
    text: '它可能已关机，或者家中目前没有网络。恢复连接后会自动回来。',
  },
  nothing: { title: '这里什么也没有', text: '地址是否完整？它以盒子的名称结尾，家中的设置页面上有显示。' },
  busy: { title: '请求过多', text: '您的网络请求过多。请稍候再试。' },
  trouble: { title: '暂时无法使用', text: '问题出在中继，与您和您的盒子无关。请稍后再试。' },
  unbuilt: { title: '此中继没有页面', text: '其运营者尚未在上面构建面板（npm run build:webui）。' },
};

/** What is said above the field for the key. */
export type KeyFault = 'wrong' | 'slow' | 'ended';
export type Notice = 'offline' | 'nothing' | 'busy' | 'trouble' | 'unbuilt';

/**
 * Where the key is asked for.
 * @param acceptLanguage the browser's wish
 * @param boxId one that was checked to be one: it stands in the page
 */
export function loginPage(acceptLanguage: string | undefined, boxId: string, fault: KeyFault | null): string {
  const { language, words } = wordsFor(acceptLanguage);
  const alert = fault
    ? `<p class="note${fault === 'wrong' ? ' bad' : ''}" role="alert" id="fault">${words[fault]}</p>`
    : '';
  const invalid = fault === 'wrong' ? ' aria-invalid="true"' : '';
  // The name is for whoever keeps passwords: the keys of all boxes belong to one site.
  return page(
    language,
    words.title,
    `<p class="soft">${words.lead}</p>${alert}
<form method="post" action="./login"><input name="username" autocomplete="username" value="${boxId}" hidden>
<div class="field"><label for="key">${words.key}</label>
<input id="key" name="key" type="password" autocomplete="current-password" maxlength="80" required autofocus aria-describedby="hint${fault ? ' fault' : ''}"${invalid}>
<p class="soft small" id="hint">${words.hint}</p></div>
<button class="button">${words.button}</button></form>
<p class="soft small">${words.box}: <code>${boxId}</code></p>`,
  );
}

/** Why there is nothing to be seen, with a way to look again where that may help. */
export function noticePage(acceptLanguage: string | undefined, notice: Notice): string {
  const { language, words } = wordsFor(acceptLanguage);
  const { title, text } = words[notice];
  const again = notice === 'nothing' ? '' : `<a class="button" href="">${words.again}</a>`;
  return page(language, title, `<p class="soft">${text}</p>${again}`);
}

function page(language: string, title: string, body: string): string {
  return `<!doctype html>
<html lang="${language}"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width,initial-scale=1">
<meta name="robots" content="noindex"><title>${title} · Hearth</title><style>${STYLE}</style></head>
<body><main><div class="brand">${MARK}Hearth</div><div class="card"><h1>${title}</h1>
${body}</div></main></body></html>
`;
}

/** The first language of the browser's that there is; else English (RFC 9110 section 12.5.4, order for weights). */
function wordsFor(acceptLanguage = ''): { language: 'en' | 'zh-Hans'; words: typeof EN } {
  const first = /(?:^|,)\s*(en|zh)\b/i.exec(acceptLanguage)?.[1]?.toLowerCase();
  return first === 'zh' ? { language: 'zh-Hans', words: ZH } : { language: 'en', words: EN };
}
