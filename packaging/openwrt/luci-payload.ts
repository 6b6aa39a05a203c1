import { globSync, readFileSync } from 'node:fs';
import path from 'node:path';
import type { PayloadFile } from '../payload.ts';
import { filesBelow } from '../payload.ts';
import { readPo, writeLmo } from './lmo.ts';

/** The sources, in the layout that LuCI's own build expects. */
export const LUCI_APP = path.resolve(import.meta.dirname, '..', '..', 'openwrt-feed', 'luci-app-hearth');

/** What LuCI calls a language in names of catalogues, where it is not what the folder is called. */
const CATALOGUE_NAMES: Record<string, string> = { zh_Hans: 'zh-cn', zh_Hant: 'zh-tw' };

/** Everything in the package luci-app-hearth: what LuCI's build would install, translations included. */
export function luciPayload(): PayloadFile[] {
  const catalogues = globSync('*/*.po', { cwd: path.join(LUCI_APP, 'po') }).map((name): PayloadFile => {
    const [language = '', file = ''] = name.split(path.sep);
    const catalogue = `${path.basename(file, '.po')}.${CATALOGUE_NAMES[language] ?? language.replace('_', '-').toLowerCase()}.lmo`;
    const bytes = writeLmo(readPo(readFileSync(path.join(LUCI_APP, 'po', name), 'utf8')));
    return { path: `/usr/lib/lua/luci/i18n/${catalogue}`, mode: 0o644, source: { bytes } };
  });
  return [
    ...filesBelow(path.join(LUCI_APP, 'htdocs'), '/www'),
    ...filesBelow(path.join(LUCI_APP, 'root'), '/'),
    ...catalogues,
  ].sort((a, b) => (a.path < b.path ? -1 : 1));
}
