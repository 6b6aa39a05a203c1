import type { Logger } from 'pino';
import type { Household } from '#agent/settings/household.ts';
import { Disk } from '#agent/store/disk.ts';
import { diskMemoryIn } from '#agent/store/marker.ts';
import { DiskChoice } from './disk-choice.ts';
import { MountWatch } from './mount-watch.ts';
import { readMountTable } from './mounts.ts';
import { folderPlace, MountedPlace } from './places.ts';

/** Which disk the options name: a folder, the largest one, or (null) the one the household picks. */
export interface DiskWish {
  path: string | 'auto' | null;
  /** A folder of the system itself will do. */
  onRoot: boolean;
  floorBytes: number;
  probeMs: number;
}

export interface Disks {
  disk: Disk;
  choice: DiskChoice;
  /** Notices what is plugged in and pulled. */
  mounts: MountWatch;
}

/** The disk, and what the household can do with disks. Nothing is touched before `disk.start()`. */
export function openDisks(parts: {
  wish: DiskWish;
  stateDir: string;
  household: Household;
  boxId: () => string | null;
  stamp: () => string;
  log: Logger;
  readTable?: () => Promise<string>;
}): Disks {
  const { wish, household, log, stamp, boxId, readTable = readMountTable } = parts;
  const memory = diskMemoryIn(parts.stateDir);
  const fixed = wish.path !== null && wish.path !== 'auto' ? wish.path : null;
  const place =
    fixed === null
      ? new MountedPlace({ auto: wish.path === 'auto', readTable })
      : folderPlace(fixed, wish.onRoot, readTable);
  const disk = new Disk({
    place,
    memory,
    boxId: boxId(),
    bounds: () => {
      const { quota, floorBytes } = household.now.disk;
      return { quota, floorBytes: floorBytes ?? wish.floorBytes };
    },
    probeMs: wish.probeMs,
    stamp,
    log,
  });
  household.onChange((now, before) => {
    // What there is room for has changed.
    if (now.disk !== before.disk) void disk.look();
  });
  const choice = new DiskChoice({
    disk,
    memory,
    household,
    fixed: fixed === null ? null : { folder: fixed, place },
    boxId,
    stamp,
    log,
    readTable,
  });
  const mounts = new MountWatch((changed) => {
    choice.mountsSeen();
    if (changed) disk.noticed();
  }, readTable);
  return { disk, choice, mounts };
}
