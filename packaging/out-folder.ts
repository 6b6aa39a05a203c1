import { chmodSync, existsSync, mkdirSync, mkdtempSync, readdirSync, renameSync, rmSync } from 'node:fs';
import path from 'node:path';
import { HearthError } from '#protocol/errors.ts';

/**
 * Makes a folder of results whole or not at all: filled beside it, it takes the place of what was made before.
 * @param mark a file that only what was made before has, as a path in the folder
 * @throws HearthError `bad_request` when something else is in the folder; then, as with any other error, it stays as it was
 */
export async function makeFolder(
  folder: string,
  mark: string,
  fill: (draft: string) => Promise<void>,
): Promise<void> {
  const isUsed = existsSync(folder) && readdirSync(folder).length > 0;
  if (isUsed && !existsSync(path.join(folder, mark))) {
    throw new HearthError(
      'bad_request',
      `${folder} has something else in it: name a folder that is empty or new`,
    );
  }
  mkdirSync(path.dirname(folder), { recursive: true });
  const draft = mkdtempSync(`${folder}.`);
  try {
    chmodSync(draft, 0o755);
    await fill(draft);
    rmSync(folder, { recursive: true, force: true });
    renameSync(draft, folder);
  } finally {
    rmSync(draft, { recursive: true, force: true });
  }
}
