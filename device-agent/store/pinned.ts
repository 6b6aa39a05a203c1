import { constants } from 'node:fs';
import { open } from 'node:fs/promises';
import { HearthError } from '#protocol/errors.ts';

/**
 * Works in a folder by a name that stays on its file system: pulled in the middle, a disk's mount point is the box's
 * own flash, and files made there by its name would lie on it.
 * @param device `major:minor` the folder must be on; null when it has none, or nothing is known of it
 * @throws HearthError `disk_absent` when another file system is there
 */
export async function pinned<T>(
  folder: string,
  device: string | null,
  work: (folder: string) => Promise<T>,
): Promise<T> {
  if (device === null || device.startsWith('0:') || process.platform !== 'linux') return work(folder);
  const handle = await open(folder, constants.O_RDONLY | (constants.O_DIRECTORY ?? 0));
  try {
    const { dev } = await handle.stat();
    if (nameOf(dev) !== device) throw new HearthError('disk_absent', `the disk at ${folder} has been pulled`);
    return await work(`/proc/self/fd/${handle.fd}`);
  } finally {
    await handle.close();
  }
}

/** As the kernel writes it: makedev(3) has major in bits 8 to 19 (and above 32), minor in the others. */
function nameOf(dev: number): string {
  const major = Math.floor(dev / 256) % 4096;
  const minor = (dev % 256) + (Math.floor(dev / 2 ** 20) % 4096) * 256;
  return `${major}:${minor}`;
}
