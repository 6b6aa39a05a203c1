const FREE_TRIES = 5;
const LONGEST_WAIT_MS = 60_000;
const FORGET_MS = 900_000;
const MOST_ADDRESSES = 1_000;
/** From all addresses together: one device can have as many as it likes. */
const TRIES_A_MINUTE = 20;
const MINUTE_MS = 60_000;
const MOST_WELCOME = 100;

interface Failures {
  count: number;
  lastAtMs: number;
}

/**
 * Slows guessing: after a few failures from an address each further try must wait, twice as long as the last, at
 * most a minute; and all addresses together have so many failures a minute, but for those that a login has come from
 * before. So nobody guesses far, and nobody is ever locked out for longer than a minute. It is the address of the
 * connection that counts, whatever a header says. In memory: a power cut forgets it, and takes longer than it gains.
 */
export class LoginLimit {
  readonly #now: () => number;
  readonly #failures = new Map<string, Failures>();
  /** Addresses that logged in. */
  readonly #welcome = new Set<string>();
  #minute = { startedAtMs: 0, failures: 0 };

  /** @param now a clock that only grows, ms */
  constructor(now: () => number) {
    this.#now = now;
    this.#minute.startedAtMs = now();
  }

  /** How long this address must wait before its next try, ms; 0 for not at all. */
  waitMs(address: string): number {
    return Math.max(this.#ownWaitMs(address), this.#welcome.has(address) ? 0 : this.#commonWaitMs());
  }

  #ownWaitMs(address: string): number {
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

  #commonWaitMs(): number {
    const sinceMs = this.#now() - this.#minute.startedAtMs;
    return this.#minute.failures < TRIES_A_MINUTE ? 0 : Math.max(0, MINUTE_MS - sinceMs);
  }

  /** A try begins: it counts as failed until it has succeeded, so that many at once gain nothing. */
  begin(address: string): void {
    const now = this.#now();
    if (now - this.#minute.startedAtMs >= MINUTE_MS) this.#minute = { startedAtMs: now, failures: 0 };
    this.#minute.failures++;
    const failures = this.#failures.get(address) ?? { count: 0, lastAtMs: 0 };
    this.#failures.delete(address);
    this.#failures.set(address, { count: failures.count + 1, lastAtMs: now });
    trim(this.#failures, MOST_ADDRESSES);
  }

  succeeded(address: string): void {
    this.#minute.failures = Math.max(0, this.#minute.failures - 1);
    this.#failures.delete(address);
    this.#welcome.delete(address);
    this.#welcome.add(address);
    trim(this.#welcome, MOST_WELCOME);
  }
}

/** Lets go of the oldest. */
function trim(kept: Map<string, unknown> | Set<string>, most: number): void {
  for (const oldest of kept.keys()) {
    if (kept.size <= most) break;
    kept.delete(oldest);
  }
}
