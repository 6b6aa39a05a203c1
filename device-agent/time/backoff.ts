import { setTimeout as sleep } from 'node:timers/promises';

export interface Backoff {
  /** Upper bound of the first wait, ms. */
  baseMs: number;
  /** Upper bound of every wait, ms. */
  capMs: number;
}

/**
 * Exponential back-off with full jitter: anything from nothing to the bound, so that a thousand boxes that lost
 * one broker do not come back as one.
 * @param attempt 0 for the first wait
 * @returns milliseconds
 */
export function backoffMs(backoff: Backoff, attempt: number, random: () => number = Math.random): number {
  return Math.floor(random() * Math.min(backoff.capMs, backoff.baseMs * 2 ** Math.min(attempt, 40)));
}

/** Waits; an abort ends the wait at once, without an error. */
export async function wait(ms: number, signal: AbortSignal): Promise<void> {
  await sleep(ms, undefined, { signal }).catch(() => undefined);
}
