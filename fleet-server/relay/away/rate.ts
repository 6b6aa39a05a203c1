/** Things that may be done so often: a bucket for each name, the least lately used forgotten. */
export class Rate {
  readonly #perSecond: number;
  readonly #burst: number;
  readonly #most: number;
  readonly #now: () => number;
  readonly #buckets = new Map<string, { tokens: number; atMs: number }>();

  /** @param now milliseconds that only grow */
  constructor(options: { perSecond: number; burst: number; most: number }, now: () => number) {
    this.#perSecond = options.perSecond;
    this.#burst = options.burst;
    this.#most = options.most;
    this.#now = now;
  }

  may(name: string): boolean {
    const nowMs = this.#now();
    const bucket = this.#buckets.get(name) ?? { tokens: this.#burst, atMs: nowMs };
    this.#buckets.delete(name);
    this.#buckets.set(name, bucket);
    if (this.#buckets.size > this.#most) this.#buckets.delete(this.#buckets.keys().next().value as string);
    bucket.tokens = Math.min(this.#burst, bucket.tokens + ((nowMs - bucket.atMs) / 1000) * this.#perSecond);
    bucket.atMs = nowMs;
    if (bucket.tokens < 1) return false;
    bucket.tokens--;
    return true;
  }

  /** What was taken is given back: it did no harm. */
  refund(name: string): void {
    const bucket = this.#buckets.get(name);
    if (bucket) bucket.tokens = Math.min(this.#burst, bucket.tokens + 1);
  }
}
