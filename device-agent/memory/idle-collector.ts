import v8 from 'node:v8';
import vm from 'node:vm';

export interface IdleCollectorParts {
  /** Whether anything is going on that leaves garbage behind. */
  busy: () => boolean;
  /** How often that is looked at, ms; after two quiet looks the garbage is collected, once. */
  everyMs?: number;
  /** How often buffers are looked at while it is busy, ms. */
  busyEveryMs?: number;
  /** Bytes in buffers, garbage among them. */
  bufferBytes?: () => number;
  collect?: (youngOnly: boolean) => void;
}

const EVERY_MS = 5_000;
const BUSY_EVERY_MS = 250;
/** So much more in buffers than was left by the last full collection is taken for garbage. */
const MOST_GARBAGE_BYTES = 6 * 1024 * 1024;
/** Between two full collections in busy times, in looks: what serves hundreds of MB a second makes as many at once. */
const LOOKS_BETWEEN = 20;

/**
 * Gives memory back. V8 collects when its own heap is full, and what a socket received is not in it: the buffers of a
 * download become tens of MB of garbage before V8 looks, and what they left would stay for hours on a box that has
 * nothing more to do. So buffers are bounded while something goes on, by collecting the young objects (a few ms) and,
 * where that is not enough, all; and when the box is quiet all garbage is collected, once (some 10 ms, more on a
 * small board).
 */
export class IdleCollector {
  readonly #parts: IdleCollectorParts;
  readonly #collect: (youngOnly: boolean) => void;
  readonly #bufferBytes: () => number;
  readonly #timer: NodeJS.Timeout;
  readonly #busyTimer: NodeJS.Timeout;
  /** Quiet looks since something went on; the start itself leaves garbage. */
  #quiet = 0;
  /** In buffers that are in use, as far as the last full collection told. */
  #inUseBytes = 0;
  /** What the last look in busy times did: what is freed, is freed a little later. */
  #did: 'nothing' | 'young' | 'all' = 'nothing';
  #looksSinceAll = LOOKS_BETWEEN;

  constructor(parts: IdleCollectorParts) {
    this.#parts = parts;
    this.#collect = parts.collect ?? collector();
    this.#bufferBytes = parts.bufferBytes ?? (() => process.memoryUsage().arrayBuffers);
    this.#timer = setInterval(() => this.#look(), parts.everyMs ?? EVERY_MS);
    this.#timer.unref();
    this.#busyTimer = setInterval(() => this.#bound(), parts.busyEveryMs ?? BUSY_EVERY_MS);
    this.#busyTimer.unref();
  }

  close(): void {
    clearInterval(this.#timer);
    clearInterval(this.#busyTimer);
  }

  #look(): void {
    if (this.#parts.busy()) {
      this.#quiet = 0;
    } else if (++this.#quiet === 2) {
      this.#collect(false);
      this.#did = 'all';
    }
  }

  #bound(): void {
    if (!this.#parts.busy()) return;
    const bytes = this.#bufferBytes();
    // What a full collection left over is in use: a cache, bodies under way.
    if (this.#did === 'all' || bytes < this.#inUseBytes) this.#inUseBytes = bytes;
    const isMuch = bytes - this.#inUseBytes > MOST_GARBAGE_BYTES;
    const mayAll = ++this.#looksSinceAll > LOOKS_BETWEEN;
    const next = !isMuch ? 'nothing' : this.#did === 'young' && mayAll ? 'all' : 'young';
    if (next === 'all') this.#looksSinceAll = 0;
    if (next !== 'nothing') this.#collect(next === 'young');
    this.#did = next;
  }
}

/** V8's own collections, which are not to be had without this switch. */
function collector(): (youngOnly: boolean) => void {
  v8.setFlagsFromString('--expose-gc');
  const collect: unknown = vm.runInNewContext('gc');
  v8.setFlagsFromString('--no-expose-gc');
  if (typeof collect !== 'function') return () => undefined;
  return (youngOnly) => void (youngOnly ? collect({ type: 'minor' }) : collect());
}
