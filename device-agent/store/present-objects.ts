/** 52 bits of a hash: as many as a number holds exactly. */
const DIGITS = 13;

/**
 * Which objects have a file, as their names say: 8 bytes each, for the time of a start. Two that begin alike are
 * taken for each other, which one box in a hundred thousand would see once, and the audit sets right.
 */
export class PresentObjects {
  #keys = new Float64Array(1024);
  #size = 0;
  #isSorted = true;

  add(sha256: string): void {
    if (this.#size === this.#keys.length) {
      const grown = new Float64Array(this.#keys.length * 2);
      grown.set(this.#keys);
      this.#keys = grown;
    }
    this.#keys[this.#size++] = keyOf(sha256);
    this.#isSorted = false;
  }

  has(sha256: string): boolean {
    if (!this.#isSorted) this.#keys.subarray(0, this.#size).sort();
    this.#isSorted = true;
    const key = keyOf(sha256);
    let from = 0;
    let to = this.#size;
    while (from < to) {
      const middle = (from + to) >>> 1;
      if ((this.#keys[middle] ?? 0) < key) from = middle + 1;
      else to = middle;
    }
    return from < this.#size && this.#keys[from] === key;
  }
}

function keyOf(sha256: string): number {
  return Number.parseInt(sha256.slice(0, DIGITS), 16);
}
