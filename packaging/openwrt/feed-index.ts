import { createHash } from 'node:crypto';
import { globSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { gzipSync } from 'node:zlib';
import { runTool } from '#firmware/qemu/run-tool.ts';
import type { SigningKey } from './usign.ts';
import { signText } from './usign.ts';

/**
 * Writes what opkg asks a feed for: `Packages`, `Packages.gz` and, with a key, `Packages.sig` over the first.
 * @param folder holds the packages
 */
export async function writeOpkgIndex(folder: string, key: SigningKey | null): Promise<void> {
  const entries: string[] = [];
  for (const name of globSync('*.ipk', { cwd: folder }).sort()) {
    const file = path.join(folder, name);
    const script = 'tar -xzOf "$1" ./control.tar.gz | tar -xzOf - ./control';
    const control = await runTool('sh', ['-c', script, 'sh', file]);
    const bytes = readFileSync(file);
    const sha256 = createHash('sha256').update(bytes).digest('hex');
    const found = `Filename: ${name}\nSize: ${bytes.length}\nSHA256sum: ${sha256}\n`;
    entries.push(control.replace(/^Description:/m, `${found}Description:`));
  }
  const index = Buffer.from(`${entries.join('\n')}\n`);
  writeFileSync(path.join(folder, 'Packages'), index);
  writeFileSync(path.join(folder, 'Packages.gz'), gzipSync(index, { level: 9 }));
  if (key !== null) writeFileSync(path.join(folder, 'Packages.sig'), signText(key, index));
}
