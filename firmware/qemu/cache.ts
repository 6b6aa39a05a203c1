import { createHash } from 'node:crypto';
import { createReadStream, existsSync, mkdirSync, mkdtempSync, renameSync, rmSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { HearthError } from '#protocol/errors.ts';

/** Where downloads and what is unpacked from them are kept between runs, outside the repository. */
export function cacheFolder(...parts: string[]): string {
  const base = process.env.XDG_CACHE_HOME || join(homedir(), '.cache');
  const folder = join(base, 'hearth', 'boards', ...parts);
  mkdirSync(folder, { recursive: true });
  return folder;
}

/** The hash of a file, in the encoding its publisher uses. */
export async function hashOf(file: string, algorithm: 'sha256' | 'sha512', encoding: 'hex' | 'base64') {
  const hash = createHash(algorithm);
  for await (const part of createReadStream(file, { highWaterMark: 1024 * 1024 }))
    hash.update(part as Buffer);
  return hash.digest(encoding);
}

/**
 * A folder in the cache that `fill` makes once. It appears under its name only when complete, so a build that was
 * killed, or two at the same time, leave no half of one behind.
 * @param name must change with whatever goes in (a version, a hash)
 */
export async function onceInCache(
  kind: string,
  name: string,
  fill: (folder: string) => Promise<void>,
): Promise<string> {
  const parent = cacheFolder(kind);
  const folder = join(parent, name);
  if (existsSync(folder)) return folder;
  const draft = mkdtempSync(join(parent, '.draft-'));
  try {
    await fill(draft);
    renameSync(draft, folder);
  } catch (error) {
    rmSync(draft, { recursive: true, force: true });
    // Somebody else was quicker: theirs is as good.
    if (!existsSync(folder)) throw error;
  }
  return folder;
}

/** @throws HearthError `unavailable` when a file is not what its publisher says, naming both hashes */
export async function verifyFile(
  file: string,
  wanted: { algorithm: 'sha256' | 'sha512'; encoding: 'hex' | 'base64'; hash: string },
): Promise<void> {
  const found = await hashOf(file, wanted.algorithm, wanted.encoding);
  if (found === wanted.hash) return;
  throw new HearthError(
    'unavailable',
    `${file} has ${wanted.algorithm} ${found} where ${wanted.hash} was promised: remove it and try again`,
  );
}
