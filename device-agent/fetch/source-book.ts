/** Another box that holds an object, as the fleet named it. */
export interface PeerSource {
  boxId: string;
  /** With a delivery token; expires. */
  url: string;
  /** In this very network, by the address it has there. */
  lan: boolean;
}

interface Standing {
  /** Over the last chunks; null before the first. */
  bytesPerMs: number | null;
  failures: number;
  /** Not asked before then, ms. */
  badUntilMs: number;
}

const MOST_REMEMBERED = 256;
/** One that sent wrong bytes is left for so long, ms: what it holds is spoilt, or it means harm. */
const LIE_MS = 3_600_000;
/** One that failed: doubled with each failure in a row, ms. */
const FAILURE_MS = 10_000;
const LONGEST_FAILURE_MS = 1_800_000;
/** Weight of the newest chunk in a source's speed. */
const NEWEST = 0.3;

/** What is known of other boxes as sources, over all downloads: how fast, and whether they can be relied on. */
export class SourceBook {
  readonly #standings = new Map<string, Standing>();
  readonly #now: () => number;

  constructor(now: () => number) {
    this.#now = now;
  }

  get size(): number {
    return this.#standings.size;
  }

  /** True while it is not worth asking. */
  shuns(key: string): boolean {
    return (this.#standings.get(key)?.badUntilMs ?? 0) > this.#now();
  }

  /** How long it takes for so many bytes, ms; null: not known. */
  expectedMs(key: string, bytes: number): number | null {
    const speed = this.#standings.get(key)?.bytesPerMs ?? null;
    return speed === null ? null : bytes / speed;
  }

  good(key: string, bytes: number, ms: number): void {
    const standing = this.#of(key);
    const speed = bytes / Math.max(1, ms);
    standing.bytesPerMs =
      standing.bytesPerMs === null ? speed : standing.bytesPerMs * (1 - NEWEST) + speed * NEWEST;
    standing.failures = 0;
  }

  failed(key: string): void {
    const standing = this.#of(key);
    const waitMs = Math.min(LONGEST_FAILURE_MS, FAILURE_MS * 2 ** Math.min(standing.failures++, 20));
    standing.badUntilMs = Math.max(standing.badUntilMs, this.#now() + waitMs);
  }

  lied(key: string): void {
    this.#of(key).badUntilMs = this.#now() + LIE_MS;
  }

  /** Those worth asking: boxes of this network first, then the fastest; one never asked before one known to be slow. */
  choose(peers: readonly PeerSource[], most: number): PeerSource[] {
    const speedOf = (peer: PeerSource) =>
      this.#standings.get(peer.boxId)?.bytesPerMs ?? Number.POSITIVE_INFINITY;
    return peers
      .filter((peer) => !this.shuns(peer.boxId))
      .sort((a, b) => Number(b.lan) - Number(a.lan) || compare(speedOf(b), speedOf(a)))
      .slice(0, most);
  }

  #of(key: string): Standing {
    let standing = this.#standings.get(key);
    if (standing) this.#standings.delete(key);
    else standing = { bytesPerMs: null, failures: 0, badUntilMs: 0 };
    // Newest last: the first is the one not heard of for longest.
    this.#standings.set(key, standing);
    const oldest = this.#standings.keys().next().value;
    if (this.#standings.size > MOST_REMEMBERED && oldest !== undefined) this.#standings.delete(oldest);
    return standing;
  }
}

function compare(a: number, b: number): number {
  return a === b ? 0 : a - b;
}
