import type { RolloutPlan, TargetState } from '#protocol/rollout.ts';

/** A rollout as its next move is judged by: boxes of the waves begun so far. */
export interface Standing {
  plan: Pick<RolloutPlan, 'successPercent' | 'soakMs'>;
  waves: number;
  wave: number;
  waveMetAtMs: number | null;
  /** Boxes of the waves up to this one. */
  counts: Record<TargetState, number>;
  /** Of those pending: boxes that could be ordered to now. */
  orderable: number;
  nowMs: number;
}

export type Verdict =
  | { do: 'halt'; reason: string }
  | { do: 'wait' }
  /** The successes are there: the soak begins. */
  | { do: 'met' }
  /** They were, and are not any more. */
  | { do: 'unmet' }
  | { do: 'next-wave' }
  | { do: 'finish' };

/**
 * What a running rollout is to do. Boxes that are away are not waited for; a wave of which nobody has come through yet
 * is, as no news is not good news.
 */
export function judge({ plan, waves, wave, waveMetAtMs, counts, orderable, nowMs }: Standing): Verdict {
  const { pending, ordered, updated, failed } = counts;
  const all = pending + ordered + updated + failed;
  const allowed = Math.floor((all * (100 - plan.successPercent)) / 100);
  if (failed > allowed) {
    return { do: 'halt', reason: `${failed} of ${all} boxes failed, ${allowed} may` };
  }
  const reached = ordered + updated + failed;
  const needed = Math.ceil((reached * plan.successPercent) / 100);
  const isMet = all === 0 || (updated > 0 && orderable === 0 && updated >= needed);
  if (!isMet) return waveMetAtMs === null ? { do: 'wait' } : { do: 'unmet' };
  if (waveMetAtMs === null) return { do: 'met' };
  if (nowMs - waveMetAtMs < plan.soakMs) return { do: 'wait' };
  return wave + 1 < waves ? { do: 'next-wave' } : { do: 'finish' };
}
