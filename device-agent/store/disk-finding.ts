import { errnoOf } from '#agent/durable/durable-file.ts';
import { HearthError, isHearthError, messageOf } from '#protocol/errors.ts';
import type { DiskState } from '#protocol/messages.ts';
import { isMediumError } from './disk-health.ts';
import type { DiskReason } from './disk-place.ts';
import type { DiskBounds, DiskUsage } from './disk-room.ts';
import { quotaBytes, roomBytes } from './disk-room.ts';
import { DiskLayout } from './layout.ts';
import type { Marker, Self } from './marker.ts';
import { whose } from './marker.ts';

/** What a look at the disk has found. */
export interface Finding {
  state: DiskState;
  /** Null when all is well. */
  reason: DiskReason | null;
  /** What is wrong and what to do, for a person; null when all is well. */
  problem: string | null;
}

export const IN_ORDER: Finding = { state: 'ok', reason: null, problem: null };
export const NOT_ANSWERING: Finding = {
  state: 'failing',
  reason: 'not_answering',
  problem: 'the disk does not answer: pull it and plug it in again',
};

export const MANY_ERRORS: Finding = {
  state: 'failing',
  reason: 'io_errors',
  problem: 'the disk cannot read or write several files: it is left alone; save what you need and replace it',
};

export function slow(reason: DiskReason, problem: string): Finding {
  return { state: 'slow', reason, problem };
}

export function absent(reason: DiskReason, problem: string): Finding {
  return { state: 'absent', reason, problem };
}

/** True when what lies on the disk can be served. */
export function isReadable({ state, reason }: Finding): boolean {
  if (state === 'absent' || state === 'foreign') return false;
  return reason !== 'io_errors' && reason !== 'not_answering';
}

/** What a disk says that has no room. */
export const FULL = ['ENOSPC', 'EDQUOT', 'EFBIG'];
const READ_ONLY = ['EROFS', 'EACCES', 'EPERM'];
const GONE = ['ENOENT', 'ENOTDIR', 'ENODEV', 'ENXIO', 'ESTALE', 'ENOTCONN', 'ESHUTDOWN'];
const IN_THE_WAY = ['EISDIR', 'ELOOP', 'EEXIST', 'ENOTEMPTY'];

/** What an error met during a look says of the disk at `root`. */
export function findingOf(error: unknown, root: string): Finding {
  if (isHearthError(error, 'disk_absent')) return absent('not_plugged', error.message);
  if (isHearthError(error)) {
    const problem = error.message.replace(/\/proc\/self\/fd\/\d+/, root);
    return { state: 'failing', reason: 'in_the_way', problem };
  }
  const errno = errnoOf(error);
  if (FULL.includes(errno)) {
    return { state: 'full', reason: 'no_room', problem: 'the disk is full: make room on it' };
  }
  if (READ_ONLY.includes(errno)) {
    const problem = 'the disk cannot be written: check its write lock and its file system';
    return { state: 'read_only', reason: 'read_only', problem };
  }
  if (GONE.includes(errno)) return absent('not_plugged', `no disk at ${root}: plug it in`);
  const problem = `the disk fails (${errno || String(error)}): save what you need from it and replace it`;
  return { state: 'failing', reason: 'io_error', problem };
}

export type Trouble = 'disk_full' | 'disk_read_only' | 'disk_failing';

/** The name of an error met while the disk was used. */
export interface NamedError {
  error: HearthError;
  /** A look is worth while; with what it would not see by itself. */
  look: boolean;
  trouble: Trouble | null;
  /** The device could not read or write. */
  medium: boolean;
}

export function nameError(cause: unknown): NamedError {
  const errno = errnoOf(cause);
  const named = (
    code: Trouble | 'disk_absent' | 'internal',
    message: string,
    more: Partial<NamedError> = {},
  ): NamedError => ({
    error: new HearthError(code, message, { cause }),
    look: false,
    trouble: null,
    medium: false,
    ...more,
  });
  const trouble = (code: Trouble, message: string) =>
    named(code, message, { look: true, trouble: code, medium: isMediumError(errno) });
  if (FULL.includes(errno)) return trouble('disk_full', 'the disk is full');
  if (READ_ONLY.includes(errno)) return trouble('disk_read_only', 'the disk cannot be written');
  if (GONE.includes(errno)) return named('disk_absent', 'a file is missing from the disk', { look: true });
  if (IN_THE_WAY.includes(errno)) {
    const { path, dest } = cause as NodeJS.ErrnoException & { dest?: string };
    return named('disk_failing', `${dest ?? path ?? 'something'} is in the way: remove it`);
  }
  if (/^E[A-Z0-9]+$/.test(errno)) return trouble('disk_failing', `the disk failed (${errno})`);
  return named('internal', messageOf(cause));
}

/**
 * What is said of a disk without a marker. It may be another disk, or the mount point of one that is not there: only the
 * household can tell, and nothing is written to it before.
 */
export function unmarked(root: string): { reason: DiskReason; problem: string } {
  const problem =
    `what is at ${root} does not carry Hearth's mark: plug in the disk this box uses, or, if that is it, ` +
    'let the box use it: on the dashboard, under Storage';
  return { reason: 'unmarked', problem };
}

/**
 * Whether a disk with this marker is not to be touched: the reason, or null when it is ours or free to take.
 * @param copy of the marker, in Hearth's folder; looked at where there is no marker
 * @param mayNotBegin why a folder without a marker must not be taken there
 */
export function strangeness(
  { marker, copy }: { marker: Marker | 'damaged' | null; copy: Marker | 'damaged' | null },
  self: Self,
  { root, mayNotBegin }: { root: string; mayNotBegin: string | null },
): Finding | null {
  const { remembered } = self;
  if (marker === null && mayNotBegin !== null) {
    // Without its marker the folder may be the bare mount point, which is the box's own flash.
    if (remembered === null) return absent('not_mounted', mayNotBegin);
    return absent('not_plugged', `the disk this box uses is not at ${root}: plug it in`);
  }
  if (marker === null) {
    const isAnothers = copy !== null && (copy === 'damaged' || whose(copy, self) === 'foreign');
    return remembered !== null || isAnothers ? { state: 'absent', ...unmarked(root) } : null;
  }
  const foreign = (reason: DiskReason, problem: string): Finding => ({ state: 'foreign', reason, problem });
  if (marker === 'damaged') {
    const file = new DiskLayout(root).marker;
    const problem = `${file} is damaged: remove it and what is in hearth/ to start afresh`;
    return foreign('marker_damaged', problem);
  }
  const owner = whose(marker, self);
  if (owner === 'ours' || (owner === 'free' && remembered === null)) return null;
  const problem = 'the disk belongs to another Hearth box: adopt it on the dashboard, or plug in your own';
  return foreign('other_box', problem);
}

/**
 * What keeps more from being written; null when nothing does.
 * @param neededBytes what a download waits for
 */
export function fullness(
  bounds: DiskBounds,
  usage: DiskUsage,
  usedBytes: number,
  neededBytes: number,
): Finding | null {
  const full = (reason: DiskReason, problem: string): Finding => ({ state: 'full', reason, problem });
  const { freeBytes } = usage;
  const { floorBytes } = bounds;
  if (freeBytes < floorBytes) {
    const problem = `the disk is full: ${freeBytes} bytes are free, ${floorBytes} are left to its owner`;
    return full('below_floor', problem);
  }
  const quota = quotaBytes(bounds, usage);
  if (usedBytes > quota) {
    return full('over_quota', `Hearth has ${usedBytes} bytes on the disk and may have ${quota}`);
  }
  const room = roomBytes(bounds, usage, usedBytes);
  if (neededBytes <= room) return null;
  return full('no_room', `the disk is full: ${room} bytes can be used, ${neededBytes} are needed`);
}
