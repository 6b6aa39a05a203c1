import type { z } from 'zod';
import type { createRolloutSchema } from '#protocol/rollout.ts';

const MINUTE_MS = 60_000;
const HOUR_MS = 60 * MINUTE_MS;

/** How long a wave may be watched before the next begins. */
export const SOAKS = {
  none: 0,
  minutes: 10 * MINUTE_MS,
  hour: HOUR_MS,
  half: 12 * HOUR_MS,
  day: 24 * HOUR_MS,
  days: 72 * HOUR_MS,
} as const;
export type Soak = keyof typeof SOAKS;
export const SOAK_NAMES = ['none', 'minutes', 'hour', 'half', 'day', 'days'] as const satisfies Soak[];

/** What the form to begin a rollout holds, as it is typed. */
export interface RolloutDraft {
  version: string;
  waves: string;
  soak: Soak;
  success: string;
  /** A pattern of box names; empty: all. */
  labels: string;
  /** Null: at any time. */
  window: { fromHour: number; toHour: number } | null;
  rollBack: boolean;
}

export interface DraftFaults {
  waves: boolean;
  success: boolean;
}

/**
 * Percentages that grow and end with 100, separated by commas or blanks; null: it is not that. The fleet checks them
 * again (rolloutPlanSchema): this is to name the field.
 */
export function readWaves(text: string): number[] | null {
  const words = text.split(/[\s,，、%％]+/).filter(Boolean);
  const waves = words.map((word) => (/^\d{1,3}(\.\d{1,3})?$/.test(word) ? Number(word) : Number.NaN));
  const grows = waves.every((percent, at) => percent >= 0 && percent > (waves[at - 1] ?? -1));
  return waves.length > 0 && waves.length <= 20 && grows && waves.at(-1) === 100 ? waves : null;
}

function readSuccess(text: string): number | null {
  const percent = /^\d{1,3}(\.\d{1,2})?$/.test(text.trim()) ? Number(text) : Number.NaN;
  return percent >= 1 && percent <= 100 ? percent : null;
}

/** What is wrong with a draft. */
export function faultsOf(draft: RolloutDraft): DraftFaults {
  return { waves: readWaves(draft.waves) === null, success: readSuccess(draft.success) === null };
}

/** The request of a draft without faults; null for one with some. */
export function requestOf(draft: RolloutDraft): z.input<typeof createRolloutSchema> | null {
  const [waves, successPercent] = [readWaves(draft.waves), readSuccess(draft.success)];
  if (waves === null || successPercent === null) return null;
  const labels = draft.labels.trim();
  return {
    version: draft.version,
    waves,
    successPercent,
    soakMs: SOAKS[draft.soak],
    rollBack: draft.rollBack,
    window: draft.window,
    selector: labels === '' ? {} : { labels },
  };
}
