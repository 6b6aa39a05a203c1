const PAGE_BYTES = 65_536;

/**
 * Texts of at most 64 KiB in pages outside of the JavaScript heap. What is freed is only counted: the owner, who
 * alone knows what is in use, copies that to a new heap when too much is waste.
 */
export class TextHeap {
  readonly #pages: Buffer[] = [];
  #used = PAGE_BYTES;
  #wasted = 0;

  /** True when half of it, and a megabyte, is waste. */
  get isWasteful(): boolean {
    return this.#wasted > 1024 * 1024 && this.#wasted > (this.#pages.length * PAGE_BYTES) / 2;
  }

  /** @returns where it lies, 32 bits */
  add(bytes: Uint8Array): number {
    if (this.#used + bytes.length > PAGE_BYTES) {
      if (this.#pages.length > 0) this.#wasted += PAGE_BYTES - this.#used;
      this.#pages.push(Buffer.allocUnsafeSlow(PAGE_BYTES));
      this.#used = 0;
    }
    const page = this.#pages.length - 1;
    const at = page * PAGE_BYTES + this.#used;
    this.#pages[page]?.set(bytes, this.#used);
    this.#used += bytes.length;
    return at;
  }

  drop(length: number): void {
    this.#wasted += length;
  }

  /** The bytes themselves, not a copy. */
  read(at: number, length: number): Buffer {
    const from = at % PAGE_BYTES;
    return this.#page(at).subarray(from, from + length);
  }

  equals(at: number, length: number, bytes: Uint8Array, bytesLength: number): boolean {
    if (length !== bytesLength) return false;
    const from = at % PAGE_BYTES;
    return this.#page(at).compare(bytes, 0, bytesLength, from, from + length) === 0;
  }

  #page(at: number): Buffer {
    const page = this.#pages[Math.floor(at / PAGE_BYTES)];
    if (!page) throw new RangeError(`there is no text at ${at}`);
    return page;
  }
}

/** Values of which there are few, each kept once while it is used. */
export class Interner<T> {
  readonly #ids = new Map<string, number>();
  readonly #kept: ({ key: string; value: T; uses: number } | null)[] = [];
  readonly #free: number[] = [];

  /** Takes a value into use. @param key the same for equal values */
  take(key: string, value: T): number {
    const known = this.#ids.get(key);
    const kept = known === undefined ? null : this.#kept[known];
    if (known !== undefined && kept) {
      kept.uses++;
      return known;
    }
    const id = this.#free.pop() ?? this.#kept.length;
    this.#kept[id] = { key, value, uses: 1 };
    this.#ids.set(key, id);
    return id;
  }

  drop(id: number): void {
    const kept = this.#kept[id];
    if (!kept || --kept.uses > 0) return;
    this.#ids.delete(kept.key);
    this.#kept[id] = null;
    this.#free.push(id);
  }

  find(key: string): number | undefined {
    return this.#ids.get(key);
  }

  get(id: number): T {
    const kept = this.#kept[id];
    if (!kept) throw new RangeError(`there is no value ${id}`);
    return kept.value;
  }
}
