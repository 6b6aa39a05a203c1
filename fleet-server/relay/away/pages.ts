import { readdirSync, readFileSync } from 'node:fs';
import { extname, join } from 'node:path';

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
