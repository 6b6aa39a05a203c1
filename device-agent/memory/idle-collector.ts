import v8 from 'node:v8';
import vm from 'node:vm';

export interface IdleCollectorParts {
  /** Whether anything is going on that leaves garbage behind. */
  busy: () => boolean;
  /** How often that is looked at, ms; after two quiet looks the garbage is collected, once. */
  everyMs?: number;
  collect?: () => void;
}

const EVERY_MS = 5_000;

/**
 * Gives memory back when the box has nothing to do. V8 collects when new memory is asked for, and so never on a box
 * that has just ended its downloads: what they left, buffers above all, would stay for hours. One collection takes
 * some 10 ms, more on a small board, at a moment when nobody waits.
 */
export class IdleCollector {
  readonly #parts: IdleCollectorParts;
  readonly #collect: () => void;
  readonly #timer: NodeJS.Timeout;
  /** Quiet looks since something went on; the start itself leaves garbage. */
  #quiet = 0;

  constructor(parts: IdleCollectorParts) {
    this.#parts = parts;
    this.#collect = parts.collect ?? collector();
    this.#timer = setInterval(() => this.#look(), parts.everyMs ?? EVERY_MS);
    this.#timer.unref();
  }

  close(): void {
    clearInterval(this.#timer);
  }

  #look(): void {
    if (this.#parts.busy()) this.#quiet = 0;
    else if (++this.#quiet === 2) this.#collect();
  }
}

/** V8's own full collection, which is not to be had without this switch. */
function collector(): () => void {
  v8.setFlagsFromString('--expose-gc');
  const collect: unknown = vm.runInNewContext('gc');
  v8.setFlagsFromString('--no-expose-gc');
  return typeof collect === 'function' ? () => void collect() : () => undefined;
}
