import { lstat, mkdir } from 'node:fs/promises';
import { errnoOf } from '#agent/durable/durable-file.ts';
import { HearthError } from '#protocol/errors.ts';

/**
 * Makes a folder on the disk, unless it is there. A link in its place could lead off the disk, to the internal
 * flash, and is not followed.
 * @returns true when it was made
 * @throws HearthError `disk_failing` when something else has its name
 */
export async function makeFolder(folder: string): Promise<boolean> {
  try {
    await mkdir(folder);
    return true;
  } catch (error) {
    if (errnoOf(error) !== 'EEXIST') throw error;
  }
  if ((await lstat(folder)).isDirectory()) return false;
  throw new HearthError('disk_failing', `${folder} is in the way and is no folder of Hearth's: remove it`);
}
