const CLASSES = [
  { upTo: 16, bytes: 256 * 1024, kept: 16 },
  { upTo: 256, bytes: 64 * 1024, kept: 64 },
  { upTo: Number.POSITIVE_INFINITY, bytes: 16 * 1024, kept: 256 },
] as const;

/**
 * Read buffers, used again and again. Few responses get large ones, which is fast; many get small ones, so that
 * a thousand slow clients take megabytes and not hundreds of them.
 */
export class Buffers {
  readonly #free = CLASSES.map((): Buffer[] => []);

  /**
   * A buffer for one response's next piece.
   * @param responses how many responses are under way
   */
  take(responses: number): Buffer {
    const index = CLASSES.findIndex((size) => responses <= size.upTo);
    const size = CLASSES[index];
    if (!size) throw new RangeError('no buffer class');
    return this.#free[index]?.pop() ?? Buffer.allocUnsafeSlow(size.bytes);
  }

  /** Gives one back; only when nothing reads or writes it any more. */
  give(buffer: Buffer): void {
    const index = CLASSES.findIndex((size) => size.bytes === buffer.length);
    const free = this.#free[index];
    if (free && free.length < (CLASSES[index]?.kept ?? 0)) free.push(buffer);
  }
}
