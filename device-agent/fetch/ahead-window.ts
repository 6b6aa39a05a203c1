/** Under a cap so much may be asked for and not have come yet, as time at full rate, ms. */
const WINDOW_MS = 200;
const LEAST_WINDOW = 4_096;
const LEAST_PART = 4_096;
/** Nobody waits longer than this for those who have asked a source that does not send, ms. */
const LONGEST_WAIT_MS = 1_000;

/**
 * Bounds what has been asked for and paid, and has not come: all of it may come at one moment, on top of what comes by
 * the cap. 0.2 s of it is 2 % of the ten seconds a cap is judged by, and still fills a line of 200 ms round trip.
 */
export class AheadWindow {
  readonly #rate: () => number | null;
  #bytes = 0;
  #waiting: (() => void)[] = [];

  /** @param rate bytes a second; null: no cap, and no window */
  constructor(rate: () => number | null) {
    this.#rate = rate;
  }

  /** The most one request should ask for, bytes. */
  get partBytes(): number {
    const rate = this.#rate();
    return rate === null
      ? Number.POSITIVE_INFINITY
      : Math.max(LEAST_PART, Math.floor((rate * WINDOW_MS) / 1000 / 4));
  }

  /** Waits for room. What has entered must `leave` as it comes, or when it does not. */
  async enter(bytes: number, signal: AbortSignal): Promise<void> {
    let late = false;
    const timer = setTimeout(() => {
      late = true;
      this.#wake();
    }, LONGEST_WAIT_MS);
    const stop = () => this.#wake();
    signal.addEventListener('abort', stop, { once: true });
    try {
      while (!late && !this.#fits(bytes)) {
        signal.throwIfAborted();
        await new Promise<void>((resolve) => this.#waiting.push(resolve));
      }
    } finally {
      clearTimeout(timer);
      signal.removeEventListener('abort', stop);
    }
    this.#bytes += bytes;
  }

  leave(bytes: number): void {
    this.#bytes -= bytes;
    this.#wake();
  }

  #fits(bytes: number): boolean {
    const rate = this.#rate();
    if (rate === null || this.#bytes === 0) return true;
    return this.#bytes + bytes <= Math.max(LEAST_WINDOW, (rate * WINDOW_MS) / 1000);
  }

  #wake(): void {
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const resolve of waiting) resolve();
  }
}
