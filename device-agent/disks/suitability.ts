import type { Mount } from './mounts.ts';
import { isWithin } from './mounts.ts';

/** File systems whose files survive, and the largest file each takes; null: larger than any object. */
const FILESYSTEMS: Record<string, number | null> = {
  ext2: null,
  ext3: null,
  ext4: null,
  f2fs: null,
  btrfs: null,
  xfs: null,
  exfat: null,
  ntfs: null,
  ntfs3: null,
  // NTFS and exFAT by a program, which calls itself so; `fuse.ntfs-3g` and the like are seen too.
  fuseblk: null,
  hfsplus: null,
  vfat: 2 ** 32 - 1,
  msdos: 2 ** 32 - 1,
};

/** Where the system itself lives: what is mounted here or below is not the household's to give away. */
const SYSTEM_BELOW = ['/boot', '/rom', '/overlay', '/proc', '/sys', '/dev', '/etc', '/usr'];
/** The same, but what is mounted below may well be a disk of its own. */
const SYSTEM = ['/', '/home', '/root', '/var', '/var/log', '/opt', '/srv', '/nix', '/tmp', '/run'];
/** Devices seen here hold the running system, wherever else they are mounted. */
const ROOTS = ['/', '/rom', '/overlay', '/boot', '/boot/efi', '/boot/firmware'];

export type Unsuitable = 'system' | 'filesystem' | 'read_only' | 'not_whole';

export interface Suitability {
  /** Null: Hearth can use it. */
  reason: Unsuitable | null;
  /** Largest file it takes, bytes; null: no bound that matters. */
  fileLimitBytes: number | null;
}

/** Memory, and the system's own image, even where they are mounted by a name like a device's. */
const NO_DISK = ['tmpfs', 'ramfs', 'devtmpfs', 'squashfs'];

/** True for what a person would call a disk: it has a device, or is a file system made for one. */
export function isDisk(mount: Mount): boolean {
  return mount.source.startsWith('/dev/') && !NO_DISK.includes(mount.filesystem);
}

/** Whether Hearth may use a mounted file system, and if not, why. */
export function judge(mount: Mount, mounts: readonly Mount[]): Suitability {
  const kind = mount.filesystem.replace(/^fuse\.(exfat|ntfs).*$/, 'fuseblk');
  const fileLimitBytes = FILESYSTEMS[kind] ?? null;
  const no = (reason: Unsuitable | null): Suitability => ({ reason, fileLimitBytes });
  if (!(kind in FILESYSTEMS) || !isDisk(mount)) return no('filesystem');
  if (isSystems(mount, mounts)) return no('system');
  // A bind mount shows a folder of a disk that is itself somewhere, or hidden on purpose.
  if (mount.root !== '/' && mount.filesystem !== 'btrfs') return no('not_whole');
  return no(mount.readOnly ? 'read_only' : null);
}

/** True when it holds the running system, by its device or by where it is mounted. */
export function isSystems(mount: Mount, mounts: readonly Mount[]): boolean {
  if (SYSTEM.includes(mount.mount)) return true;
  if (SYSTEM_BELOW.some((folder) => isWithin(mount.mount, folder))) return true;
  return mounts.some(
    (other) =>
      ROOTS.includes(other.mount) &&
      (other.device === mount.device || (other.source === mount.source && isDisk(mount))),
  );
}
