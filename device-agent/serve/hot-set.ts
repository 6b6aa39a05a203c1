/** Objects up to this size are answered from memory, bytes. */
export const HOT_OBJECT_BYTES = 128 * 1024;

/** Small objects in memory, bounded in bytes, least recently used forgotten first. */
export class HotSet {
  readonly #limitBytes: number;
  readonly #objects = new Map<string, Buffer>();
  #bytes = 0;

  constructor(limitBytes: number) {
    this.#limitBytes = limitBytes;
  }

  get(sha256: string): Buffer | undefined {
    const found = this.#objects.get(sha256);
    if (found) {
      this.#objects.delete(sha256);
      this.#objects.set(sha256, found);
    }
    return found;
  }

  set(sha256: string, bytes: Buffer): void {
    if (bytes.length > HOT_OBJECT_BYTES) return;
    this.delete(sha256);
    this.#objects.set(sha256, bytes);
    this.#bytes += bytes.length;
    for (const [oldest] of this.#objects) {
      if (this.#bytes <= this.#limitBytes) break;
      this.delete(oldest);
    }
  }

  delete(sha256: string): void {
    const found = this.#objects.get(sha256);
    if (!found) return;
    this.#objects.delete(sha256);
    this.#bytes -= found.length;
  }

  clear(): void {
    this.#objects.clear();
    this.#bytes = 0;
  }

  get bytes(): number {
    return this.#bytes;
  }
}
