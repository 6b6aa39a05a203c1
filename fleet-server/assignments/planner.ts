import type { StoredCommand } from '#fleet/commands/outbox.ts';
import type { AssetState } from '#protocol/messages.ts';

/** One placement as the planner sees it: what is wanted, what the box said, what is under way. */
export interface PlacementView {
  assetId: string;
  desired: 'held' | 'absent';
  /** What the box should hold: the asset's newest bytes; null while the asset is not ready. */
  sha256: string | null;
  expiresAtMs: number | null;
  reported: AssetState | null;
  reportedSha256: string | null;
  /** An open command on this placement, if any. */
  openCommand: { type: string; sha256: string | null; expiresAt: string | null } | null;
  /** When the box refused the newest command on this placement that it answered, milliseconds; null if it did not. */
  refusedAtMs: number | null;
  /** That command, where the box carried it out. */
  done: { type: string; sha256: string | null; atMs: number } | null;
}

/** What is to be done about one placement. */
export type Step =
  | { do: 'send'; assetId: string; command: Extract<StoredCommand, { type: 'cache' | 'delete' }> }
  /** The TTL has run out: from now on it is wanted absent. */
  | { do: 'expire'; assetId: string }
  /** Absent as wanted: the placement's row has served. */
  | { do: 'forget'; assetId: string };

/** A box that refused is asked again after this long, milliseconds. */
export const REFUSED_RETRY_MS = 60_000;
/** A box that said it did something, but does not look like it, is asked again after this long, milliseconds. */
export const DONE_RETRY_MS = 10_000;

const ON_ITS_WAY: readonly (AssetState | null)[] = ['queued', 'downloading', 'held', 'failed'];
const GONE: readonly (AssetState | null)[] = ['deleted', 'expired'];

/**
 * From desired and reported state, the steps that bring a box nearer to what is wanted. Pure; can be run as
 * often as one likes: once its steps are carried out and reported, it has none left.
 */
export function plan(placements: readonly PlacementView[], nowMs: number): Step[] {
  const steps: Step[] = [];
  for (const placement of placements) {
    const step = planOne(placement, nowMs);
    if (step) steps.push(step);
  }
  return steps;
}

function planOne(placement: PlacementView, nowMs: number): Step | null {
  const { assetId, openCommand } = placement;
  if (placement.desired === 'held') {
    if (placement.expiresAtMs !== null && placement.expiresAtMs <= nowMs) return { do: 'expire', assetId };
    if (placement.sha256 === null) return null;
    const accepted = ON_ITS_WAY.includes(placement.reported) && placement.reportedSha256 === placement.sha256;
    // A box that accepted the command tries by itself until it holds the asset; one that refused it does not.
    const refused = placement.reported === 'failed' && placement.refusedAtMs !== null;
    if (accepted && !refused && openCommand?.type !== 'delete') return null;
    const expiresAt = placement.expiresAtMs === null ? null : new Date(placement.expiresAtMs).toISOString();
    const asked = openCommand?.type === 'cache' && openCommand.sha256 === placement.sha256;
    if (asked && openCommand.expiresAt === expiresAt) return null;
    const command = { type: 'cache' as const, assetId, sha256: placement.sha256, expiresAt };
    return tooSoon(placement, command, nowMs) ? null : { do: 'send', assetId, command };
  }
  // A box that may have been told to fetch it meanwhile has to be told otherwise.
  const told = openCommand?.type === 'cache';
  if (GONE.includes(placement.reported) && !told) return { do: 'forget', assetId };
  if (openCommand?.type === 'delete') return null;
  const sha256 = (told ? openCommand.sha256 : null) ?? placement.reportedSha256 ?? placement.sha256;
  if (sha256 === null) return { do: 'forget', assetId };
  const command = { type: 'delete' as const, sha256, assetIds: [assetId] };
  return tooSoon(placement, command, nowMs) ? null : { do: 'send', assetId, command };
}

/** Keeps a box that refuses, or does other than it says, from being asked as fast as it answers. */
function tooSoon(
  { refusedAtMs, done }: PlacementView,
  command: { type: string; sha256: string },
  nowMs: number,
): boolean {
  if (refusedAtMs !== null) return nowMs - refusedAtMs < REFUSED_RETRY_MS;
  return done?.type === command.type && done.sha256 === command.sha256 && nowMs - done.atMs < DONE_RETRY_MS;
}
