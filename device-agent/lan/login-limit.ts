const FREE_TRIES = 5;
const LONGEST_WAIT_MS = 60_000;
const FORGET_MS = 900_000;
const MOST_ADDRESSES = 1_000;

interface Failures {
  count: number;
  lastAtMs: number;
}

/**
 * Slows guessing: after a few failures from an address each further try must wait, twice as long as the last, at
 * most a minute. So nobody guesses far, and nobody is ever locked out for longer than a minute.
 */
export class LoginLimit {
  readonly #now: () => number;
  readonly #failures = new Map<string, Failures>();

  /** @param now a clock that only grows, ms */
  constructor(now: () => number) {
    this.#now = now;
  }

  /** How long this address must wait before its next try, ms; 0 for not at all. */
  waitMs(address: string): number {
    const failures = this.#failures.get(address);
    if (!failures || failures.count < FREE_TRIES) return 0;
    const sinceMs = this.#now() - failures.lastAtMs;
    if (sinceMs > FORGET_MS) {
      this.#failures.delete(address);
      return 0;
    }
    const waitMs = Math.min(LONGEST_WAIT_MS, 1_000 * 2 ** Math.min(failures.count - FREE_TRIES, 20));
    return Math.max(0, waitMs - sinceMs);
  }

  /** A try begins: it counts as failed until it has succeeded, so that many at once gain nothing. */
  begin(address: string): void {
    const failures = this.#failures.get(address) ?? { count: 0, lastAtMs: 0 };
    this.#failures.delete(address);
    this.#failures.set(address, { count: failures.count + 1, lastAtMs: this.#now() });
    for (const oldest of this.#failures.keys()) {
      if (this.#failures.size <= MOST_ADDRESSES) break;
      this.#failures.delete(oldest);
    }
  }

  succeeded(address: string): void {
    this.#failures.delete(address);
  }
}
