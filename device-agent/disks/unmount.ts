import { execFile } from 'node:child_process';
import type { Mount } from './mounts.ts';

/** What a command may take; with a disk that hangs it never ends, ms. */
const COMMAND_MS = 15_000;

/** @returns null when it succeeded, else the last line it said */
function run(command: string, args: string[], boundMs = COMMAND_MS): Promise<string | null> {
  return new Promise((resolve) => {
    const late = setTimeout(() => resolve(`${command} does not come back`), boundMs);
    late.unref();
    execFile(command, args, { encoding: 'utf8' }, (error, _, stderr) => {
      clearTimeout(late);
      resolve(error === null ? null : stderr.trim().split('\n').at(-1) || error.message);
    });
  });
}

/** Unmounts it, once nothing has a file open on it. @returns null, or why not */
export function unmount(mount: Mount): Promise<string | null> {
  return run('umount', [mount.mount]);
}

/** Mounts again what was unmounted: as the system would by its own tables, else as it was. @returns null, or why not */
export async function mountAgain(mount: Mount): Promise<string | null> {
  if ((await run('mount', [mount.mount])) === null) return null;
  const { filesystem, source } = mount;
  const type = filesystem === 'fuseblk' || filesystem.startsWith('fuse.') ? [] : ['-t', filesystem];
  return run('mount', [...type, source, mount.mount]);
}

/** Waits until what was written is on the disk. */
export function flush(folder: string): Promise<string | null> {
  return run('sync', ['-f', folder]);
}
