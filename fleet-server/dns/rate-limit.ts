/** A client's network: IPv4 by /24 and IPv6 by /56, since a forger has many addresses of one. */
export function networkOf(address: string): string {
  const plain = address.startsWith('::ffff:') ? address.slice(7) : address;
  if (plain.includes('.')) return plain.slice(0, plain.lastIndexOf('.'));
  const [head = '', tail] = plain.split('::');
  const groups = head.split(':').filter(Boolean);
  const after = (tail ?? '').split(':').filter(Boolean);
  if (tail !== undefined) while (groups.length + after.length < 8) groups.push('0');
  const first = [...groups, ...after].slice(0, 4).map((group) => Number.parseInt(group, 16) || 0);
  first[3] = (first[3] ?? 0) & 0xff00;
  return first.map((group) => group.toString(16)).join(':');
}

export interface RateLimitOptions {
  /** Answers a second for one network. */
  perSecond: number;
  /** Saved up at most. */
  burst: number;
  /** Networks that are remembered. */
  networks: number;
}

export const DNS_RATE: RateLimitOptions = { perSecond: 50, burst: 200, networks: 20_000 };

/**
 * Response rate limiting: UDP's sender can be forged, and an answer then hits a stranger. Above the rate every second
 * answer is a truncated one, no longer than the question, and the rest is silence.
 */
export class RateLimit {
  readonly #options: RateLimitOptions;
  readonly #now: () => number;
  readonly #buckets = new Map<string, { tokens: number; atMs: number; slips: number }>();

  /** @param now milliseconds that only grow */
  constructor(options: RateLimitOptions, now: () => number) {
    this.#options = options;
    this.#now = now;
  }

  decide(address: string): 'answer' | 'truncate' | 'drop' {
    const { perSecond, burst, networks } = this.#options;
    const network = networkOf(address);
    const now = this.#now();
    const bucket = this.#buckets.get(network) ?? { tokens: burst, atMs: now, slips: 0 };
    // Most lately used last.
    this.#buckets.delete(network);
    this.#buckets.set(network, bucket);
    if (this.#buckets.size > networks) this.#buckets.delete(this.#buckets.keys().next().value as string);
    bucket.tokens = Math.min(burst, bucket.tokens + ((now - bucket.atMs) / 1000) * perSecond);
    bucket.atMs = now;
    if (bucket.tokens >= 1) {
      bucket.tokens--;
      return 'answer';
    }
    return bucket.slips++ % 2 === 0 ? 'truncate' : 'drop';
  }
}
