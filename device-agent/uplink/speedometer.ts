const SECONDS = 10;

/** Bytes a second over the last ten seconds, from a count that only has to be read once a second. */
export class Speedometer {
  readonly #readings: { atMs: number; bytes: number }[] = [];

  /** @param bytes counted since the start */
  read(atMs: number, bytes: number): void {
    this.#readings.push({ atMs, bytes });
    if (this.#readings.length > SECONDS + 1) this.#readings.shift();
  }

  get bytesPerSecond(): number {
    const first = this.#readings[0];
    const last = this.#readings.at(-1);
    if (!first || !last || last.atMs <= first.atMs) return 0;
    return Math.max(0, ((last.bytes - first.bytes) / (last.atMs - first.atMs)) * 1000);
  }
}
