import { existsSync } from 'node:fs';
import path from 'node:path';
import { HearthError } from '#protocol/errors.ts';

/** What `npm run build:webui` makes for boxes. */
const BOX_WEBUI = path.resolve(import.meta.dirname, '..', 'dist', 'webui', 'box');

/** The folder of the dashboard, once it has been built. @throws HearthError `not_found` */
export function builtWebui(folder = BOX_WEBUI): string {
  if (existsSync(path.join(folder, 'index.html'))) return folder;
  throw new HearthError('not_found', `there is no dashboard in ${folder}: npm run build:webui makes it`);
}
