import { setTimeout as sleep } from 'node:timers/promises';

/** A chunk one source is being asked for. */
export interface Claim {
  readonly index: number;
  readonly lane: string;
  readonly sinceMs: number;
  /** Ends this one request. */
  readonly abort: AbortController;
  /** The answer turned out to be the whole asset: it goes on whoever gets this chunk. */
  whole: boolean;
}

/** A chunk that another source has been asked for so long already is asked for here too, ms. */
const LEAST_PATIENCE_MS = 1_000;
/** Where it is not known how long this source takes for one, ms. */
const PATIENCE_MS = 3_000;
/** How often those who find nothing to do look again, ms. */
const LOOK_MS = 200;

/**
 * Who fetches which chunk. Each is fetched once, lowest first; at the end, when only chunks are left that slow
 * sources hold up, they are asked for elsewhere too, and whoever is first ends the other's request.
 */
export class Claims {
  readonly #missing: Set<number>;
  readonly #now: () => number;
  readonly #claims = new Map<number, Claim[]>();
  #changed = bell();
  #from = 0;

  /** @param missing shared with who fills it: indexes are taken out as chunks are safe */
  constructor(missing: Set<number>, now: () => number) {
    this.#missing = missing;
    this.#now = now;
  }

  /**
   * The next chunk for a source; waits while others have all that is left.
   * @param expectedMs how long this source takes for one; null: not known
   * @returns null when nothing is missing any more
   */
  async next(lane: string, expectedMs: number | null, signal: AbortSignal): Promise<Claim | null> {
    for (;;) {
      signal.throwIfAborted();
      if (this.#missing.size === 0) return null;
      const claim = this.#unclaimed(lane) ?? this.#heldUp(lane, expectedMs);
      if (claim) return claim;
      const timer = new AbortController();
      await Promise.race([
        this.#changed.promise,
        sleep(LOOK_MS, undefined, { signal: timer.signal }).catch(() => undefined),
      ]);
      timer.abort();
    }
  }

  /** The request has ended, well or not. */
  release(claim: Claim): void {
    const left = this.#claims.get(claim.index)?.filter((other) => other !== claim) ?? [];
    if (left.length === 0) this.#claims.delete(claim.index);
    else this.#claims.set(claim.index, left);
    this.#from = Math.min(this.#from, claim.index);
    this.#wake();
  }

  /** A chunk is safe: others who were asked for it are let off; all are when it was the last. */
  won(index: number, winner: Claim): void {
    const claims = this.#missing.size === 0 ? [...this.#claims.values()].flat() : this.#claims.get(index);
    for (const claim of claims ?? []) {
      if (claim !== winner && (!claim.whole || this.#missing.size === 0)) claim.abort.abort();
    }
    this.#wake();
  }

  #unclaimed(lane: string): Claim | null {
    // Indexes below have all been claimed or had; a release puts this back.
    let lowest: number | null = null;
    for (const index of this.#missing) {
      if (index >= this.#from && !this.#claims.has(index) && (lowest === null || index < lowest))
        lowest = index;
      if (lowest === this.#from) break;
    }
    if (lowest === null) return null;
    this.#from = lowest + 1;
    return this.#claim(lowest, lane);
  }

  #heldUp(lane: string, expectedMs: number | null): Claim | null {
    const patienceMs = Math.max(LEAST_PATIENCE_MS, expectedMs === null ? PATIENCE_MS : 2 * expectedMs);
    let longest: Claim | null = null;
    for (const [index, claims] of this.#claims) {
      const [only] = claims;
      if (claims.length !== 1 || !only || only.lane === lane || !this.#missing.has(index)) continue;
      if (this.#now() - only.sinceMs < patienceMs) continue;
      if (!longest || only.sinceMs < longest.sinceMs) longest = only;
    }
    return longest && this.#claim(longest.index, lane);
  }

  #claim(index: number, lane: string): Claim {
    const claim: Claim = { index, lane, sinceMs: this.#now(), abort: new AbortController(), whole: false };
    this.#claims.set(index, [...(this.#claims.get(index) ?? []), claim]);
    return claim;
  }

  #wake(): void {
    const before = this.#changed;
    this.#changed = bell();
    before.ring();
  }
}

/** A promise that is resolved from outside (Promise.withResolvers is newer than the oldest Node the agent runs on). */
function bell(): { promise: Promise<void>; ring: () => void } {
  let ring: () => void = () => undefined;
  const promise = new Promise<void>((resolve) => {
    ring = resolve;
  });
  return { promise, ring };
}
