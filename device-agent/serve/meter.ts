import type { Clock } from '#agent/time/clock.ts';

const WINDOW_MS = 10_000;
const SLOT_MS = 1_000;
const BUSY_REQUESTS = 50;

/** What is being served: since the start, and lately. What was served by day the line counts (`uplink/usage.ts`). */
export class ServingMeter {
  readonly #clock: Clock;
  readonly #onBusy: () => void;
  readonly #slots = new Map<number, number>();
  #bytesTotal = 0;
  #requestsTotal = 0;
  #lastTotal = 0;
  #lastAtMs: number;
  /** The slot that is counted in: of time, and what came in it. */
  #slot = -1;
  #slotBytes = 0;
  /** Responses under way. */
  responses = 0;

  /** @param onBusy called once, when it has served so many requests that more will come */
  constructor(clock: Clock, onBusy: () => void = () => undefined) {
    this.#clock = clock;
    this.#onBusy = onBusy;
    this.#lastAtMs = clock.monotonic();
  }

  /** @param nowMs monotonic */
  addBytes(bytes: number, nowMs = this.#clock.monotonic()): void {
    this.#turn(nowMs);
    this.#bytesTotal += bytes;
    this.#slotBytes += bytes;
  }

  addRequest(): void {
    if (++this.#requestsTotal === BUSY_REQUESTS) this.#onBusy();
  }

  get requestsTotal(): number {
    return this.#requestsTotal;
  }

  get bytesTotal(): number {
    return this.#bytesTotal;
  }

  /** Over the last ten seconds: what the dashboard shows. */
  get bytesPerSecond(): number {
    this.#turn(this.#clock.monotonic());
    this.#forgetOld();
    let bytes = this.#slotBytes;
    for (const count of this.#slots.values()) bytes += count;
    return (bytes / WINDOW_MS) * 1000;
  }

  /** Bytes per second since this was last called: what a heartbeat says. */
  rateSinceLast(): number {
    const now = this.#clock.monotonic();
    const seconds = Math.max(0.001, (now - this.#lastAtMs) / 1000);
    const rate = (this.#bytesTotal - this.#lastTotal) / seconds;
    this.#lastTotal = this.#bytesTotal;
    this.#lastAtMs = now;
    return rate;
  }

  /** Goes on to another slot when its time has come. */
  #turn(nowMs: number): void {
    const slot = Math.floor(nowMs / SLOT_MS);
    if (slot === this.#slot) return;
    if (this.#slotBytes > 0) this.#slots.set(this.#slot, this.#slotBytes);
    this.#slot = slot;
    this.#slotBytes = 0;
    if (this.#slots.size > WINDOW_MS / SLOT_MS + 2) this.#forgetOld();
  }

  #forgetOld(): void {
    const oldest = Math.floor((this.#clock.monotonic() - WINDOW_MS) / SLOT_MS);
    for (const slot of this.#slots.keys()) if (slot <= oldest) this.#slots.delete(slot);
  }
}
