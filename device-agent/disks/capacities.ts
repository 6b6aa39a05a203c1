import { execFile } from 'node:child_process';
import { clip } from '#protocol/messages.ts';

export interface Capacity {
  name: string;
  mount: string;
  totalBytes: number;
  freeBytes: number;
}

const DF_MS = 5_000;
/** Some hundred mounts; an environment takes no more in one variable. */
const MOST_TEXT = 100_000;
/** What node-disk-info reads instead of asking `df` itself. */
const SAID = 'HEARTH_DF_SAID';
/** A `df` that has not come back: it hangs with some disk, and cannot be ended. */
let pending: Promise<string> | null = null;

/**
 * Size and free space of everything mounted, by node-disk-info. That runs `df` and waits for it on the main thread,
 * which a disk that hangs would stop for good: so `df` is asked here, nobody waits longer than he likes, and the
 * library is given what it said.
 * @param boundMs how long `df` may take
 * @returns null when it does not come back in time
 */
export async function readCapacities(boundMs = DF_MS): Promise<Capacity[] | null> {
  pending ??= new Promise<string>((resolve) => {
    execFile('df', ['-P'], { encoding: 'utf8' }, (_, stdout) => resolve(stdout));
  }).finally(() => {
    pending = null;
  });
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<string>((resolve) => {
    timer = setTimeout(() => resolve(''), boundMs);
  });
  const said = await Promise.race([pending, late]);
  clearTimeout(timer);
  if (said === '' || said.length > MOST_TEXT) return null;
  const info = await import('node-disk-info').then((module) => module.default ?? module);
  const { Constants } = await import('node-disk-info/dist/utils/constants.js').then(
    (module) => module.default ?? module,
  );
  const before = [Constants.LINUX_COMMAND, Constants.DARWIN_COMMAND] as const;
  process.env[SAID] = said;
  try {
    Constants.LINUX_COMMAND = `printf '%s\\n' "$${SAID}" | awk 'NR > 1'`;
    Constants.DARWIN_COMMAND = Constants.LINUX_COMMAND;
    return info.getDiskInfoSync().map((disk) => ({
      name: clip(disk.filesystem),
      mount: clip(disk.mounted),
      // `df -P` counts blocks of 1 KiB.
      totalBytes: whole(disk.blocks * 1024),
      freeBytes: whole(disk.available * 1024),
    }));
  } finally {
    [Constants.LINUX_COMMAND, Constants.DARWIN_COMMAND] = before;
    delete process.env[SAID];
  }
}

function whole(value: number): number {
  return Number.isFinite(value) && value > 0 ? Math.floor(value) : 0;
}
