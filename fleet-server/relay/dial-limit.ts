/** Dials of one box at once, and one more for each of these times, ms: a line that comes and goes does not dial so often. */
const BURST = 20;
const EACH_MS = 2_000;
/** Boxes remembered; beyond it all begin anew. */
const MOST_BOXES = 50_000;

/**
 * How often a box may dial: each time costs the database some queries and the fleet a notice. What it costs to shake
 * hands with it has been spent by then.
 */
export class DialLimit {
  readonly #now: () => number;
  /** When a box's dials are all forgotten, by box. */
  readonly #freeAtMs = new Map<string, number>();

  /** @param now monotonic, ms */
  constructor(now: () => number) {
    this.#now = now;
  }

  may(boxId: string): boolean {
    const now = this.#now();
    const from = Math.max(now, this.#freeAtMs.get(boxId) ?? 0);
    if (from + EACH_MS - now > BURST * EACH_MS) return false;
    if (this.#freeAtMs.size >= MOST_BOXES) this.#forget(now);
    this.#freeAtMs.set(boxId, from + EACH_MS);
    return true;
  }

  #forget(now: number): void {
    for (const [boxId, freeAtMs] of this.#freeAtMs) if (freeAtMs <= now) this.#freeAtMs.delete(boxId);
    if (this.#freeAtMs.size >= MOST_BOXES) this.#freeAtMs.clear();
  }
}
