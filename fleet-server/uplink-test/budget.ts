import { networkOf } from '#protocol/addresses.ts';
import { HearthError } from '#protocol/errors.ts';

export interface BudgetLimits {
  /** Bytes one network may send and get in a window. */
  bytes: number;
  windowMs: number;
  /** Requests under way, of one network and of all. */
  atOnce: number;
  allAtOnce: number;
}

/** Two tests of a 1 Gbit/s line in ten minutes, and next to nothing for who would use it as a weapon. */
export const UPLINK_TEST_LIMITS: BudgetLimits = {
  bytes: 2_000_000_000,
  windowMs: 600_000,
  atOnce: 16,
  allAtOnce: 128,
};
const MOST_NETWORKS = 10_000;

interface Entry {
  sinceMs: number;
  bytes: number;
  running: number;
}

/** What anyone may have of the fleet's own line to measure theirs: bounded by network, and in all. */
export class TestBudget {
  readonly #limits: BudgetLimits;
  readonly #now: () => number;
  readonly #entries = new Map<string, Entry>();
  #running = 0;

  constructor(limits: BudgetLimits = UPLINK_TEST_LIMITS, now: () => number = () => performance.now()) {
    this.#limits = limits;
    this.#now = now;
  }

  get networks(): number {
    return this.#entries.size;
  }

  /**
   * Takes bytes for one request.
   * @returns to be called once when it has ended
   * @throws HearthError `rate_limited`
   */
  begin(address: string, bytes: number): () => void {
    const entry = this.#entryOf(networkOf(address) ?? address);
    const { bytes: most, atOnce, allAtOnce } = this.#limits;
    if (entry.bytes + bytes > most || entry.running >= atOnce || this.#running >= allAtOnce) {
      throw new HearthError(
        'rate_limited',
        'The line was measured often enough for now; try again in ten minutes.',
      );
    }
    entry.bytes += bytes;
    entry.running++;
    this.#running++;
    let ended = false;
    return () => {
      if (ended) return;
      ended = true;
      entry.running--;
      this.#running--;
    };
  }

  #entryOf(network: string): Entry {
    const now = this.#now();
    let entry = this.#entries.get(network);
    if (entry && now - entry.sinceMs < this.#limits.windowMs) return entry;
    entry = { sinceMs: now, bytes: 0, running: entry?.running ?? 0 };
    this.#entries.delete(network);
    for (const [oldest, { sinceMs }] of this.#entries) {
      // Begun in this order, so the first that is not over ends the search.
      if (this.#entries.size < MOST_NETWORKS && now - sinceMs < this.#limits.windowMs) break;
      this.#entries.delete(oldest);
    }
    this.#entries.set(network, entry);
    return entry;
  }
}
