import type { Clock } from '#agent/time/clock.ts';
import { PLAUSIBLE_MS } from '#agent/time/clock.ts';
import { MOST_VETOES } from './eviction-log.ts';

/** A veto is asked about again after this, ms. */
const VETO_MS = 3_600_000;

/** What the fleet wants kept for now; the same bound as on the disk. */
export class Vetoes {
  readonly #clock: Clock;
  /** Until when, monotonic ms. */
  readonly #until = new Map<string, number>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  has(assetId: string): boolean {
    return this.#until.has(assetId);
  }

  /** The fleet has said so now. */
  said(assetId: string): void {
    this.#add(assetId, VETO_MS);
  }

  /**
   * The fleet has said so in an earlier life: that counts for what is left of its time, and for all of it where a clock
   * was not set then, or is not now.
   * @param saidMs fleet time, as far as it was known, ms
   */
  recalled(assetId: string, saidMs: number): void {
    const nowMs = this.#clock.fleetNow();
    const isKnown = nowMs !== null && saidMs >= PLAUSIBLE_MS && saidMs <= nowMs;
    this.#add(assetId, isKnown ? saidMs + VETO_MS - nowMs : VETO_MS);
  }

  /** Those that count now. */
  current(): ReadonlySet<string> {
    const now = this.#clock.monotonic();
    for (const [assetId, untilMs] of this.#until) if (untilMs <= now) this.#until.delete(assetId);
    return new Set(this.#until.keys());
  }

  #add(assetId: string, forMs: number): void {
    if (forMs <= 0 || (this.#until.size >= MOST_VETOES && !this.#until.has(assetId))) return;
    const untilMs = this.#clock.monotonic() + forMs;
    this.#until.set(assetId, Math.max(untilMs, this.#until.get(assetId) ?? untilMs));
  }
}
