const WAYS = 4;

/**
 * The heat of objects that were put out, by a 32-bit prefix of their hash: a bounded table, in which the coldest of
 * a few gives way. A prefix shared by two objects costs a wrong guess and nothing else.
 */
export class Ghosts {
  readonly #tags: Uint32Array;
  readonly #heats: Float32Array;
  readonly #sets: number;

  /** @param most objects remembered; rounded up to a power of two */
  constructor(most: number) {
    this.#sets = Math.max(1, 2 ** Math.ceil(Math.log2(most / WAYS)));
    this.#tags = new Uint32Array(this.#sets * WAYS);
    this.#heats = new Float32Array(this.#sets * WAYS);
  }

  remember(prefix: number, heat: number): void {
    const first = this.#first(prefix);
    let coldest = first;
    for (let slot = first; slot < first + WAYS; slot++) {
      if (this.#tags[slot] === prefix) {
        coldest = slot;
        break;
      }
      if ((this.#heats[slot] ?? 0) < (this.#heats[coldest] ?? 0)) coldest = slot;
    }
    if ((this.#heats[coldest] ?? 0) > heat && this.#tags[coldest] !== prefix) return;
    this.#tags[coldest] = prefix;
    this.#heats[coldest] = heat;
  }

  /** @returns what it had, or 0 */
  recall(prefix: number): number {
    const first = this.#first(prefix);
    for (let slot = first; slot < first + WAYS; slot++) {
      if (this.#tags[slot] === prefix) return this.#heats[slot] ?? 0;
    }
    return 0;
  }

  /** Prefix and heat of all that are remembered. */
  *entries(): Generator<[number, number]> {
    for (let slot = 0; slot < this.#tags.length; slot++) {
      const heat = this.#heats[slot] ?? 0;
      if (heat > 0) yield [this.#tags[slot] ?? 0, heat];
    }
  }

  #first(prefix: number): number {
    return (prefix & (this.#sets - 1)) * WAYS;
  }
}
