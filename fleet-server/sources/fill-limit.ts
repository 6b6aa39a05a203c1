/** Answers for one object and box in `WINDOW_MS`: a download that is tried again needs new links, not one a second. */
const MOST = 6;
const WINDOW_MS = 600_000;
const MOST_KEYS = 50_000;

/** Each answer entitles to bytes from other households' lines: how often one box gets them is bounded. */
export class FillLimit {
  readonly #now: () => number;
  readonly #taken = new Map<string, { sinceMs: number; count: number }>();

  constructor(now: () => number) {
    this.#now = now;
  }

  /** @returns false when it is too often */
  take(key: string): boolean {
    const now = this.#now();
    let entry = this.#taken.get(key);
    if (!entry || now - entry.sinceMs >= WINDOW_MS) {
      entry = { sinceMs: now, count: 0 };
      this.#taken.delete(key);
      // Oldest first: what is dropped is what began longest ago.
      const oldest = this.#taken.keys().next().value;
      if (this.#taken.size >= MOST_KEYS && oldest !== undefined) this.#taken.delete(oldest);
      this.#taken.set(key, entry);
    }
    return ++entry.count <= MOST;
  }
}
