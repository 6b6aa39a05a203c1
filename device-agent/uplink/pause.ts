import type { Clock } from '#agent/time/clock.ts';

/** The longest pause, ms: the household's API takes no more, and no clock can make it more. */
export const LONGEST_PAUSE_MS = 24 * 3_600_000;

/**
 * "Pause for an hour": kept as a time of day, so that it survives a restart, and run by the monotonic clock, so
 * that a clock that is set right meanwhile neither ends it nor makes it endless.
 */
export class Pause {
  readonly #clock: Clock;
  #until: string | null = null;
  #endsAtMs = Number.NEGATIVE_INFINITY;
  #timeWasKnown = true;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** @param until ISO 8601; null: no pause */
  set(until: string | null): void {
    if (until === this.#until) return;
    this.#until = until;
    this.#timeWasKnown = this.#clock.fleetNow() !== null;
    this.#endsAtMs = until === null ? Number.NEGATIVE_INFINITY : this.#end(until);
  }

  get active(): boolean {
    // A box that starts with its clock unset reads "years to go": right once the time is known, and bounded before.
    if (!this.#timeWasKnown && this.#until !== null && this.#clock.fleetNow() !== null) {
      this.#timeWasKnown = true;
      if (Date.parse(this.#until) >= SET_BY_A_CLOCK)
        this.#endsAtMs = Math.min(this.#endsAtMs, this.#end(this.#until));
    }
    return this.#clock.monotonic() < this.#endsAtMs;
  }

  /** ms to go; 0 when there is none. */
  get leftMs(): number {
    return this.active ? this.#endsAtMs - this.#clock.monotonic() : 0;
  }

  #end(until: string): number {
    const leftMs = Date.parse(until) - this.#clock.bestNow();
    return this.#clock.monotonic() + Math.min(leftMs, LONGEST_PAUSE_MS);
  }
}

/** A time before this was told by a clock that had not been set: it says nothing once the clock is. */
const SET_BY_A_CLOCK = Date.UTC(2025, 0, 1);
