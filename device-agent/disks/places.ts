import { statfs } from 'node:fs/promises';
import path from 'node:path';
import { unmarked } from '#agent/store/disk-finding.ts';
import type { DiskPlace, DiskSpot, NoSpot } from '#agent/store/disk-place.ts';
import { DiskLayout } from '#agent/store/layout.ts';
import type { Marker, Self } from '#agent/store/marker.ts';
import { readMarker, whose } from '#agent/store/marker.ts';
import { isFolder } from '#agent/store/object-file.ts';
import type { Mount } from './mounts.ts';
import { mountOf, parseMounts, readMountTable } from './mounts.ts';
import { isSystems, judge } from './suitability.ts';

/** A folder whose disk is plugged in elsewhere is found within one look; a mute one must not hold it up, ms. */
const MARKER_MS = 3_000;

export const NONE_CHOSEN: NoSpot = {
  reason: 'none_chosen',
  problem: 'no disk has been chosen: plug one in and choose it on the dashboard, under Storage',
};
const NOT_PLUGGED: NoSpot = {
  reason: 'not_plugged',
  problem: 'the disk this box uses is not plugged in: plug it in',
};

/**
 * The folder HEARTH_DISK names. Without a marker it becomes Hearth's disk only when another file system than the
 * system's is mounted there: the bare mount point of an absent disk is the box's own flash.
 * @param onRoot take any folder: for development, where no disk is at hand
 */
export function folderPlace(root: string, onRoot: boolean, readTable = readMountTable): DiskPlace {
  const folder = path.resolve(root);
  return {
    async find() {
      const mounts = parseMounts(await readTable());
      const mount = mountOf(folder, mounts);
      const spot = spotOf(mount, folder);
      // Where nothing is known of mounts, or of this one, only the marker tells.
      if (onRoot || mount === null) return spot;
      if (mount.device.startsWith('0:') || isSystems(mount, mounts)) {
        const mayNotBegin =
          `no disk is mounted at ${folder}: plug it in and mount it there ` +
          '(HEARTH_DISK_ON_ROOT=yes takes a folder of the system itself)';
        return { ...spot, mayNotBegin };
      }
      return spot;
    },
  };
}

/**
 * Wherever the disk this box uses is mounted now: after it was pulled and plugged in again it may be another
 * device at another mount point, and is known by the id in its marker.
 */
export class MountedPlace implements DiskPlace {
  readonly #auto: boolean;
  readonly #readTable: () => Promise<string>;
  /** Marker files being read, by mount: one that does not answer is not asked again until it has. */
  readonly #asked = new Map<number, Promise<Marker | 'damaged' | null>>();
  #last: { table: string; remembered: string; spot: DiskSpot } | null = null;

  /** @param auto before it has a disk, take the largest suitable one by itself */
  constructor(options: { auto: boolean; readTable?: () => Promise<string> }) {
    this.#auto = options.auto;
    this.#readTable = options.readTable ?? readMountTable;
  }

  async find(self: Self): Promise<DiskSpot | NoSpot> {
    const { remembered } = self;
    const table = await this.#readTable();
    if (this.#last?.table === table && this.#last.remembered === remembered) return this.#last.spot;
    this.#last = null;
    const usable = usableMounts(parseMounts(table));
    for (const mount of usable) {
      const marker = await this.#markerAt(mount);
      if (marker === null || marker === 'damaged') continue;
      // A box whose flash was wiped knows its disk by its own name on it.
      const ours = remembered === null ? whose(marker, self) === 'ours' : marker.diskId === remembered;
      if (!ours) continue;
      const spot = spotOf(mount, mount.mount);
      this.#last = { table, remembered: marker.diskId, spot };
      return spot;
    }
    if (remembered !== null) return (await this.#unmarkedAmong(usable, self)) ?? NOT_PLUGGED;
    return this.#auto ? this.#largest(usable, self) : NONE_CHOSEN;
  }

  /** A disk with Hearth's folder and without its mark is most likely the one that is missed. */
  async #unmarkedAmong(usable: readonly Mount[], self: Self): Promise<NoSpot | null> {
    for (const mount of usable) {
      if ((await this.#markerAt(mount)) !== null) continue;
      const content = await within(unmarkedContent(mount.mount, self), MARKER_MS, null);
      if (content === 'ours' || content === 'unknown') return unmarked(mount.mount);
    }
    return null;
  }

  /** The largest that is free: another box's is never taken without being asked for. */
  async #largest(usable: readonly Mount[], self: Self): Promise<DiskSpot | NoSpot> {
    let best: { mount: Mount; bytes: number } | null = null;
    for (const mount of usable) {
      if (mount.readOnly || (await this.#markerAt(mount)) !== null) continue;
      if ((await within(unmarkedContent(mount.mount, self), MARKER_MS, 'unknown')) !== null) continue;
      const bytes = (await within(freeOf(mount.mount), MARKER_MS, null))?.totalBytes ?? 0;
      if (bytes > (best?.bytes ?? 0)) best = { mount, bytes };
    }
    if (best) return spotOf(best.mount, best.mount.mount);
    return { reason: 'not_plugged', problem: 'no disk that can be used is plugged in: plug one in' };
  }

  /** Null when there is none; 'damaged' also when it cannot be read, which is no reason to take the disk. */
  async #markerAt(mount: Mount): Promise<Marker | 'damaged' | null> {
    const asked =
      this.#asked.get(mount.id) ??
      readMarker(new DiskLayout(mount.mount).marker)
        .catch(() => 'damaged' as const)
        .finally(() => this.#asked.delete(mount.id));
    this.#asked.set(mount.id, asked);
    return within(asked, MARKER_MS, 'damaged' as const);
  }
}

/**
 * Whose content lies at a folder that has no marker, by the copy of the marker in Hearth's own folder; 'unknown' where
 * there is none, as on disks of before there were copies; null: none of Hearth's.
 */
export async function unmarkedContent(
  root: string,
  self: Self,
): Promise<'ours' | 'foreign' | 'unknown' | null> {
  const layout = new DiskLayout(root);
  const copy = await readMarker(layout.markerCopy).catch(() => 'damaged' as const);
  if (copy === null) return (await isFolder(layout.objects)) ? 'unknown' : null;
  if (copy === 'damaged') return 'unknown';
  const owner = whose(copy, self);
  return owner === 'free' ? 'unknown' : owner;
}

/** What Hearth may use, each device once, the shortest mount point of each. */
export function usableMounts(mounts: readonly Mount[]): Mount[] {
  const usable = mounts.filter((mount) => {
    const { reason } = judge(mount, mounts);
    // One that lies under another mount is not to be reached by its name.
    return (reason === null || reason === 'read_only') && mountOf(mount.mount, mounts) === mount;
  });
  const byDevice = new Map<string, Mount>();
  for (const mount of usable) {
    const key = mount.filesystem === 'btrfs' ? mount.source : mount.device;
    const other = byDevice.get(key);
    if (!other || mount.mount.length < other.mount.length) byDevice.set(key, mount);
  }
  return [...byDevice.values()];
}

/** What an answer is worth waiting for. */
export async function within<T, U>(work: Promise<T>, boundMs: number, otherwise: U): Promise<T | U> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<U>((resolve) => {
    timer = setTimeout(() => resolve(otherwise), boundMs);
  });
  return Promise.race([work, late]).finally(() => clearTimeout(timer));
}

/** Size and free space of what is mounted there, bytes; null when it does not say. */
export async function freeOf(mount: string): Promise<{ totalBytes: number; freeBytes: number } | null> {
  const space = await statfs(mount).catch(() => null);
  if (space === null) return null;
  return { totalBytes: space.blocks * space.bsize, freeBytes: space.bavail * space.bsize };
}

function spotOf(mount: Mount | null, root: string): DiskSpot {
  const device = mount && !mount.device.startsWith('0:') ? mount.device : null;
  return { root, device, mountId: mount?.id ?? null, mayNotBegin: null };
}
