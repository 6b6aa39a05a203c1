/**
 * How much an object is asked for, in one number that needs no upkeep: the sum of its uses, each halved with every
 * half-life that has passed since (LRFU: D. Lee et al., IEEE Trans. Computers 50(12), 2001), as a logarithm that
 * counts from a fixed moment: log2(sum of 2^(t/halfLife)). What has not been used keeps its number while the newer
 * uses of others grow larger, so that objects are compared as they are, and 4 bytes for each are enough.
 *
 * Why not a count-min sketch as in W-TinyLFU: that stands in for a count of each object where there is no room for
 * one. Here each object has a record anyway, so the count is exact, and it ages smoothly instead of by halving all.
 * What TinyLFU gives beside is kept: nothing new displaces what is worth more, and what was put out is remembered
 * (ghosts.ts), so that it comes back with what it had earned.
 *
 * Why size does not count: a box earns by bytes delivered. An object of n bytes takes n bytes of room and delivers n
 * bytes with each use, so what a byte of room earns is the object's uses, whatever its size. GDSF's division by size
 * would win object hits by holding many small ones, and lose bytes. A use is a whole delivery: half the bytes, half
 * a use.
 */
export class Heat {
  readonly #halfLife: number;
  readonly #origin: number;

  /**
   * @param halfLife after which a use counts half, in the unit of the times
   * @param origin a time before all others, near enough that single precision tells uses apart
   */
  constructor(halfLife: number, origin: number) {
    this.#halfLife = halfLife;
    this.#origin = origin;
  }

  /** Of an object used so much at this moment and never before. */
  fresh(at: number, uses = 1): number {
    return (at - this.#origin) / this.#halfLife + Math.log2(uses);
  }

  /** @param heat 0 when it was never used */
  used(heat: number, at: number, uses = 1): number {
    const added = this.fresh(at, uses);
    if (heat === 0) return added;
    const [more, less] = heat > added ? [heat, added] : [added, heat];
    return more + Math.log2(1 + 2 ** (less - more));
  }
}

/** A week: what nobody asked for in a month counts a sixteenth. */
export const HALF_LIFE_S = 7 * 86_400;
/** Seconds since 1970 of a moment before any box began. */
export const HEAT_ORIGIN_S = Date.UTC(2025, 0, 1) / 1000;
