/** Before this a clock has certainly not been set: no agent is that old. */
export const PLAUSIBLE_MS = Date.UTC(2025, 0, 1);

/**
 * The box's two clocks: its own, which may say 1970 until NTP answers, and the fleet's, learnt from signed
 * commands and carried on by the monotonic clock, so that a step of the local one changes nothing.
 */
export class Clock {
  readonly #local: () => number;
  readonly #monotonic: () => number;
  /** Fleet time minus monotonic time. */
  #fleetBase: number | null = null;
  #floorMs = 0;

  constructor(local: () => number = Date.now, monotonic: () => number = () => performance.now()) {
    this.#local = local;
    this.#monotonic = monotonic;
  }

  /** Milliseconds that only ever grow, for intervals. */
  monotonic(): number {
    return this.#monotonic();
  }

  /** The local clock, right or wrong. */
  local(): number {
    return this.#local();
  }

  /** True once a signed command has told the time. */
  get learnt(): boolean {
    return this.#fleetBase !== null;
  }

  /** The fleet's time as far as known; null while nothing better than an unset clock is there. */
  fleetNow(): number | null {
    if (this.#fleetBase !== null) return this.#fleetBase + this.#monotonic();
    const now = this.#local();
    return now >= PLAUSIBLE_MS ? now : null;
  }

  /**
   * Learns the time from a signed command's `issuedAt`. It can be late, never early, so the newest one ever seen
   * is a floor: replaying an old command cannot turn the clock back beyond it.
   */
  learn(issuedAtMs: number): void {
    this.#floorMs = Math.max(this.#floorMs, issuedAtMs);
    this.#fleetBase = this.#floorMs - this.#monotonic();
  }

  /** The best known time, ms since 1970. */
  bestNow(): number {
    return this.fleetNow() ?? this.#local();
  }

  /** The best known time as it stands in messages (UTC, ISO 8601). */
  stamp(): string {
    return new Date(this.bestNow()).toISOString();
  }
}
