/** Of its slots, so many are in use at most. */
const MOST_FILLED = 0.8;
const LEAST_SLOTS = 1024;
/** Grown by this: doubling would leave half of it empty too often. */
const GROWTH = 1.25;

/** The low bits of a slot are row + 1, the others are of the hash: most wrong rows need not be looked at. */
const ROW_BITS = 20;
const ROW_MASK = 2 ** ROW_BITS - 1;
/** Rows that can be told apart: twice what a box may hold. */
export const MOST_ROWS = ROW_MASK;

/**
 * Finds rows by the hash of their key: open addressing with linear probing, 4 bytes a slot. It keeps no keys:
 * whoever asks compares the full key with each candidate. Several rows may have one key.
 */
export class RowIndex {
  readonly #hashOf: (row: number) => number;
  /** 0 is empty. */
  #slots = new Uint32Array(LEAST_SLOTS);
  #size = 0;

  /** @param hashOf of the key of a row that is in the index, 32 bits */
  constructor(hashOf: (row: number) => number) {
    this.#hashOf = hashOf;
  }

  /** @throws RangeError when there are more rows than can be told apart */
  add(hash: number, row: number): void {
    if (row >= MOST_ROWS) throw new RangeError(`more than ${MOST_ROWS} rows`);
    if (this.#size + 1 > this.#slots.length * MOST_FILLED)
      this.#resize(Math.ceil(this.#slots.length * GROWTH));
    this.#put(hash, row);
    this.#size++;
  }

  /** There will be so many rows: growing by and by would hash each of them several times again. */
  reserve(rows: number): void {
    const slots = Math.ceil(Math.min(rows, MOST_ROWS) / MOST_FILLED) + 1;
    if (slots > this.#slots.length) this.#resize(slots);
  }

  /** The first row with this hash that `matches`; -1 when there is none. */
  find(hash: number, matches: (row: number) => boolean): number {
    for (let slot = this.#home(hash); ; slot = this.#next(slot)) {
      const entry = this.#slots[slot] ?? 0;
      if (entry === 0) return -1;
      if ((entry ^ hash) >>> ROW_BITS !== 0) continue;
      const row = (entry & ROW_MASK) - 1;
      if (matches(row)) return row;
    }
  }

  /** Takes a row out, while its key can still be hashed. */
  remove(hash: number, row: number): void {
    const { length } = this.#slots;
    let hole = this.#home(hash);
    while (((this.#slots[hole] ?? 0) & ROW_MASK) !== row + 1) {
      if (this.#slots[hole] === 0) return;
      hole = this.#next(hole);
    }
    this.#size--;
    // Those behind move up, so that no search ends before it has come to them.
    for (let slot = this.#next(hole); ; slot = this.#next(slot)) {
      const entry = this.#slots[slot] ?? 0;
      if (entry === 0) break;
      const home = this.#home(this.#hashOf((entry & ROW_MASK) - 1));
      if ((slot - home + length) % length < (slot - hole + length) % length) continue;
      this.#slots[hole] = entry;
      hole = slot;
    }
    this.#slots[hole] = 0;
  }

  #put(hash: number, row: number): void {
    let slot = this.#home(hash);
    while (this.#slots[slot] !== 0) slot = this.#next(slot);
    this.#slots[slot] = ((hash >>> ROW_BITS) << ROW_BITS) | (row + 1);
  }

  /** Where a search begins: by the low bits, which are not in the slot, and with some of the others. */
  #home(hash: number): number {
    const turned = ((hash << (32 - ROW_BITS)) | (hash >>> ROW_BITS)) >>> 0;
    return Math.floor((turned / 2 ** 32) * this.#slots.length);
  }
  #next(slot: number): number {
    return slot + 1 === this.#slots.length ? 0 : slot + 1;
  }

  #resize(slots: number): void {
    const old = this.#slots;
    this.#slots = new Uint32Array(slots);
    for (const entry of old) {
      if (entry === 0) continue;
      const row = (entry & ROW_MASK) - 1;
      this.#put(this.#hashOf(row), row);
    }
  }
}

/** The finalizer of MurmurHash3: every bit in changes every bit out. */
export function mix32(value: number): number {
  let hash = value;
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return (hash ^ (hash >>> 16)) >>> 0;
}

/** Jenkins' one-at-a-time hash. With a secret seed nobody can choose keys that collide. */
export function hashBytes(bytes: Uint8Array, length: number, seed: number): number {
  let hash = seed;
  for (let index = 0; index < length; index++) {
    hash = (hash + (bytes[index] ?? 0)) | 0;
    hash = (hash + (hash << 10)) | 0;
    hash ^= hash >>> 6;
  }
  hash = (hash + (hash << 3)) | 0;
  hash ^= hash >>> 11;
  return mix32((hash + (hash << 15)) | 0);
}
