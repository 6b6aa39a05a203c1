import type { DiskSettings } from '#protocol/household.ts';

/** How much of the disk is Hearth's. */
export interface DiskBounds {
  /** Free space always left to the disk's owner, bytes. */
  floorBytes: number;
  /** What Hearth's files may take in all; null: everything but the floor. */
  quota: DiskSettings['quota'];
}

export interface DiskUsage {
  totalBytes: number;
  freeBytes: number;
}

/** The quota in bytes; infinite when there is none. */
export function quotaBytes(bounds: DiskBounds, usage: DiskUsage): number {
  if (bounds.quota === null) return Number.POSITIVE_INFINITY;
  const { unit, value } = bounds.quota;
  return unit === 'bytes' ? value : Math.floor((usage.totalBytes * value) / 100);
}

/**
 * The one rule for room: what Hearth may still write, keeping to the quota and leaving the floor free.
 * @param usedBytes what its files take now
 */
export function roomBytes(bounds: DiskBounds, usage: DiskUsage, usedBytes: number): number {
  const free = usage.freeBytes - bounds.floorBytes;
  return Math.max(0, Math.min(free, quotaBytes(bounds, usage) - usedBytes));
}

/** What Hearth's files could take in all, with what others have on the disk now. */
export function capacityBytes(bounds: DiskBounds, usage: DiskUsage, usedBytes: number): number {
  return Math.max(
    0,
    Math.min(usedBytes + usage.freeBytes - bounds.floorBytes, quotaBytes(bounds, usage), usage.totalBytes),
  );
}
