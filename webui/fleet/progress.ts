import type { Assignment, Placement } from '#protocol/http-fleet.ts';

/** How far a group of placements is. */
export interface Progress {
  /** Copies the fleet wants held, and of these: held, failed. */
  wanted: number;
  held: number;
  failed: number;
  /** Copies on their way out. */
  leaving: number;
  bytesDone: number;
  bytesTotal: number;
}

/** One push: the assignments made together, which the fleet stamps with one time. */
export interface Push {
  createdAt: string;
  assignments: Assignment[];
  placements: Placement[];
  progress: Progress;
  ended: boolean;
}

/** Bytes of a copy that are on the box and verified; what is held counts whole. */
export function bytesOf(placement: Placement): number {
  return placement.reported === 'held'
    ? placement.sizeBytes
    : Math.min(placement.bytesDone, placement.sizeBytes);
}

export function progressOf(placements: readonly Placement[]): Progress {
  const progress: Progress = { wanted: 0, held: 0, failed: 0, leaving: 0, bytesDone: 0, bytesTotal: 0 };
  for (const placement of placements) {
    if (placement.desired === 'absent') {
      progress.leaving += 1;
      continue;
    }
    progress.wanted += 1;
    if (placement.reported === 'held') progress.held += 1;
    if (placement.reported === 'failed') progress.failed += 1;
    progress.bytesTotal += placement.sizeBytes;
    progress.bytesDone += bytesOf(placement);
  }
  return progress;
}

/** Groups assignments into pushes, in the order given. */
export function pushesOf(assignments: readonly Assignment[]): Push[] {
  const groups = new Map<string, Assignment[]>();
  for (const assignment of assignments) {
    const group = groups.get(assignment.createdAt);
    if (group) group.push(assignment);
    else groups.set(assignment.createdAt, [assignment]);
  }
  return [...groups].map(([createdAt, those]) => {
    const placements = those.flatMap((assignment) => assignment.placements);
    return {
      createdAt,
      assignments: those,
      placements,
      progress: progressOf(placements),
      ended: those.every((assignment) => assignment.endedAt !== null),
    };
  });
}

export type PushState = 'converged' | 'running' | 'trouble' | 'ended';

export function stateOf(push: Push): PushState {
  if (push.ended) return 'ended';
  if (push.progress.failed > 0) return 'trouble';
  return push.progress.held === push.progress.wanted ? 'converged' : 'running';
}

/** From the push to the last copy in place, begun seconds in milliseconds; never negative, whatever the clocks say. */
export function convergedAfterMs(push: Push): number {
  const last = Math.max(...push.placements.map((placement) => Date.parse(placement.updatedAt)));
  return Math.max(0, Math.ceil((last - Date.parse(push.createdAt)) / 1000) * 1000);
}

/** Placements by a key of theirs, in the order first seen. */
export function groupBy(
  placements: readonly Placement[],
  key: (placement: Placement) => string,
): [string, Placement[]][] {
  const groups = new Map<string, Placement[]>();
  for (const placement of placements) {
    const group = groups.get(key(placement));
    if (group) group.push(placement);
    else groups.set(key(placement), [placement]);
  }
  return [...groups];
}
