/** Things a client may do a few times for no reason, and not for ever. */
export class Patience {
  readonly #burst: number;
  readonly #perMs: number;
  #left: number;
  #atMs: number;

  /** @param burst how many at once @param perSecond how many in the long run */
  constructor(burst: number, perSecond: number, nowMs: number) {
    this.#burst = burst;
    this.#perMs = perSecond / 1000;
    this.#left = burst;
    this.#atMs = nowMs;
  }

  /** @returns false when it was one too many */
  spend(nowMs: number): boolean {
    this.#left = Math.min(this.#burst, this.#left + (nowMs - this.#atMs) * this.#perMs) - 1;
    this.#atMs = nowMs;
    return this.#left >= 0;
  }
}
