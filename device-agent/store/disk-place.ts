import type { Self } from './marker.ts';

/** Why a disk's state is what it is: codes that a dashboard can put into the household's language. */
export type DiskReason =
  | 'not_looked_at'
  | 'none_chosen'
  | 'not_plugged'
  | 'not_mounted'
  | 'unmarked'
  | 'ejected'
  | 'letting_go'
  | 'other_box'
  | 'marker_damaged'
  | 'read_only'
  | 'below_floor'
  | 'over_quota'
  | 'no_room'
  | 'in_the_way'
  | 'io_error'
  | 'io_errors'
  | 'not_answering'
  | 'slow_answers'
  | 'slow_io';

/** Where the disk is now. */
export interface DiskSpot {
  /** The folder that stands for it. */
  root: string;
  /** `major:minor` of its device, for the kernel's figures on it; null when it has none. */
  device: string | null;
  /** Changes when it is mounted anew; null when nothing is known of mounts. */
  mountId: number | null;
  /** Why a folder without a marker must not become Hearth's disk here; null when it may. */
  mayNotBegin: string | null;
}

/** Why there is no disk. */
export interface NoSpot {
  reason: DiskReason;
  problem: string;
}

/** Finds the disk: one fixed folder, or wherever the disk with the remembered id is mounted. */
export interface DiskPlace {
  find(self: Self): Promise<DiskSpot | NoSpot>;
}
