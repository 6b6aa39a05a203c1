import { createHash } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { extname, join } from 'node:path';

/** The page on which the key is asked for: no script, and nothing from elsewhere. */
const STYLE =
  'body{font:16px/1.5 system-ui,sans-serif;max-width:26rem;margin:12vh auto;padding:0 1rem;color:#20241f;background:#f2f3f0}' +
  'h1{font-size:1.3rem}label{display:block;margin:1rem 0 .3rem}input{font:inherit;width:100%;box-sizing:border-box;padding:.6rem}' +
  'button{font:inherit;margin-top:1rem;padding:.6rem 1.2rem}.bad{color:#a4161a}' +
  '@media(prefers-color-scheme:dark){body{color:#e6e8e3;background:#121513}.bad{color:#ff8f8f}}';

export const LOGIN_CSP = `default-src 'none'; style-src 'sha256-${createHash('sha256').update(STYLE).digest('base64')}'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'`;

const WORDS = {
  en: {
    title: 'Your Hearth box',
    lead: 'Enter the key that the box showed when you switched this on at home. Then comes the password of its page.',
    key: 'Key',
    button: 'Go on',
    wrong: 'This key opens nothing here. It may have been replaced, or switched off at home.',
    slow: 'Too many tries. Wait a minute.',
  },
  'zh-Hans': {
    title: '您的 Hearth 盒子',
    lead: '请输入您在家中开启此功能时盒子显示的密钥。之后还需要输入其页面的密码。',
    key: '密钥',
    button: '继续',
    wrong: '此密钥在这里无效。它可能已被更换，或已在家中关闭。',
    slow: '尝试次数过多。请等待一分钟。',
  },
} as const;

/** @param acceptLanguage the browser's wish; @param fault what went wrong before */
export function loginPage(acceptLanguage: string | undefined, fault: 'wrong' | 'slow' | null): string {
  const language = /^\s*zh\b/i.test(acceptLanguage ?? '') ? 'zh-Hans' : 'en';
  const words = WORDS[language];
  return `<!doctype html>
<html lang="${language}"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width,initial-scale=1">
<meta name="robots" content="noindex"><title>${words.title}</title><style>${STYLE}</style></head>
<body><h1>${words.title}</h1><p>${words.lead}</p>${fault ? `<p class="bad" role="alert">${words[fault]}</p>` : ''}
<form method="post" action="./login"><label for="key">${words.key}</label>
<input id="key" name="key" type="password" autocomplete="current-password" maxlength="80" required autofocus>
<button>${words.button}</button></form></body></html>
`;
}

const TYPES: Record<string, string> = {
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
  '.svg': 'image/svg+xml',
};

export interface PageFile {
  type: string;
  body: Buffer;
  gzip: Buffer | null;
  /** Its name has its content's hash. */
  hashed: boolean;
}

/**
 * The dashboard's files, by name, out of the fleet's own build: a box's are never served here. All boxes' dashboards
 * share the relay's origin, and a script of one box could use what its reader may do at another.
 * @param folder as `npm run build:webui` makes it
 */
export function readPages(folder: string): Map<string, PageFile> {
  const files = new Map<string, PageFile>();
  let names: string[];
  try {
    names = readdirSync(folder);
  } catch {
    return files;
  }
  for (const name of names) {
    const type = TYPES[extname(name)];
    if (!type) continue;
    const zipped = `${name}.gz`;
    files.set(name, {
      type,
      body: readFileSync(join(folder, name)),
      gzip: names.includes(zipped) ? readFileSync(join(folder, zipped)) : null,
      hashed: /[.-][0-9a-zA-Z]{8,}\.\w+$/.test(name),
    });
  }
  return files;
}
