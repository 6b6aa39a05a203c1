import { readFile } from 'node:fs/promises';
import { HearthError } from '#protocol/errors.ts';

/** One line of /proc/self/mountinfo (proc_pid_mountinfo(5)): the kernel's word on what is mounted where. */
export interface Mount {
  /** Unique while it is mounted; plugged in again, a disk has another. */
  id: number;
  /** `major:minor` of the device; major 0 is no block device of its own (tmpfs, overlay, btrfs, ...). */
  device: string;
  /** Which folder of the file system is seen: `/` but for bind mounts. */
  root: string;
  mount: string;
  readOnly: boolean;
  filesystem: string;
  /** Such as `/dev/sda1`. */
  source: string;
}

const FILE = '/proc/self/mountinfo';

/** The mount table as text; '' where there is none (not Linux): then nothing is known of mounts. */
export async function readMountTable(): Promise<string> {
  return readFile(FILE, 'utf8').catch((error) => {
    if (error.code === 'ENOENT') return '';
    throw new HearthError('internal', `${FILE} cannot be read (${error.code})`, { cause: error });
  });
}

/** The mounts of a table, in the order in which they were made; lines it does not understand are left out. */
export function parseMounts(table: string): Mount[] {
  const mounts: Mount[] = [];
  for (const line of table.split('\n')) {
    const [before, after] = line.split(' - ', 2);
    const [id, , device, root, mount, options] = before?.split(' ') ?? [];
    const [filesystem, source, superOptions] = after?.split(' ') ?? [];
    if (!id || !device || !root || !mount || !options || !filesystem) continue;
    mounts.push({
      id: Number(id),
      device,
      root: unescaped(root),
      mount: unescaped(mount),
      // The mount may be read-only, or the file system below it (after an error, for one).
      readOnly: [options, superOptions ?? ''].some((list) => list.split(',').includes('ro')),
      filesystem,
      source: unescaped(source ?? ''),
    });
  }
  return mounts;
}

/** The mount a folder lies on; null when nothing is known of mounts. */
export function mountOf(folder: string, mounts: readonly Mount[]): Mount | null {
  let found: Mount | null = null;
  for (const one of mounts) {
    // A later mount at the same place lies over the earlier.
    if (isWithin(folder, one.mount) && one.mount.length >= (found?.mount.length ?? 0)) found = one;
  }
  return found;
}

export function isWithin(folder: string, above: string): boolean {
  return folder === above || folder.startsWith(above.endsWith('/') ? above : `${above}/`);
}

/** The kernel writes blanks, tabs, newlines and backslashes as `\040` and so on. */
function unescaped(field: string): string {
  return field.replace(/\\([0-7]{3})/g, (_, octal: string) => String.fromCharCode(Number.parseInt(octal, 8)));
}
