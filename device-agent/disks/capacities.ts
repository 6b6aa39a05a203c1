import { execFile } from 'node:child_process';
import { clip } from '#protocol/messages.ts';

export interface Capacity {
  name: string;
  mount: string;
  totalBytes: number;
  freeBytes: number;
}

const DF_MS = 5_000;
/** A `df` that has not come back: it hangs with some disk, and cannot be ended. */
let pending: Promise<boolean> | null = null;

/**
 * Size and free space of everything mounted, by node-disk-info. That asks `df` and waits for it on the main
 * thread, which a disk that hangs would stop for good: so a `df` of our own, which nobody waits for, goes first.
 * @returns null when it does not come back in time
 */
export async function readCapacities(): Promise<Capacity[] | null> {
  pending ??= new Promise<boolean>((resolve) => {
    execFile('df', ['-P'], { encoding: 'utf8' }, (_, stdout) => resolve(stdout !== ''));
  }).finally(() => {
    pending = null;
  });
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<boolean>((resolve) => {
    timer = setTimeout(() => resolve(false), DF_MS);
  });
  const answers = await Promise.race([pending, late]);
  clearTimeout(timer);
  if (!answers) return null;
  const info = await import('node-disk-info').then((module) => module.default ?? module);
  return info.getDiskInfoSync().map((disk) => ({
    name: clip(disk.filesystem),
    mount: clip(disk.mounted),
    // `df -P` counts blocks of 1 KiB.
    totalBytes: whole(disk.blocks * 1024),
    freeBytes: whole(disk.available * 1024),
  }));
}

function whole(value: number): number {
  return Number.isFinite(value) && value > 0 ? Math.floor(value) : 0;
}
