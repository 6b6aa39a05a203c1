export interface QueueLimits {
  /** Under way at once, in all and from one address: many boxes may stand behind a provider's NAT. */
  atOnce: number;
  atOncePerAddress: number;
  /** Waiting, in all and from one address. */
  waiting: number;
  waitingPerAddress: number;
  /** Who has waited for longer is not begun with: it would have given up in the middle. */
  waitMs: number;
}

export interface QueueParts<T> {
  limits: QueueLimits;
  begin: (one: T) => void;
  /** There is no room, or its time is over. */
  refuse: (one: T) => void;
  /** Monotonic, ms. */
  now: () => number;
}

/**
 * Who comes is begun with in bounded numbers; the others wait, also in bounded numbers. Addresses take turns, so that
 * those of whom thousands come do not shut out who comes alone; within one, first come is first served.
 */
export class Queue<T> {
  readonly #parts: QueueParts<T>;
  readonly #begun = new Map<T, string>();
  readonly #begunOf = new Map<string, number>();
  /** By address, whose turn is next first. */
  readonly #waiting = new Map<string, Map<T, number>>();
  #waits = 0;

  constructor(parts: QueueParts<T>) {
    this.#parts = parts;
  }

  get waits(): number {
    return this.#waits;
  }

  /** `leave` is owed for it, whatever becomes of it. */
  arrive(one: T, address: string): void {
    const { limits, begin, now, refuse } = this.#parts;
    if (this.#mayBegin(address) && !this.#waiting.has(address)) {
      this.#begin(one, address);
      begin(one);
      return;
    }
    const same = this.#waiting.get(address) ?? new Map<T, number>();
    if (this.#waits >= limits.waiting || same.size >= limits.waitingPerAddress) {
      refuse(one);
      return;
    }
    this.#waiting.set(address, same.set(one, now()));
    this.#waits++;
  }

  /** It is over, or gone. Harmless to repeat, and for one that was refused. */
  leave(one: T, address: string): void {
    if (this.#begun.delete(one)) {
      const left = (this.#begunOf.get(address) ?? 1) - 1;
      if (left > 0) this.#begunOf.set(address, left);
      else this.#begunOf.delete(address);
    } else this.#takeOut(one, address);
    this.#next();
  }

  #mayBegin(address: string): boolean {
    const { atOnce, atOncePerAddress } = this.#parts.limits;
    return this.#begun.size < atOnce && (this.#begunOf.get(address) ?? 0) < atOncePerAddress;
  }

  #begin(one: T, address: string): void {
    this.#begun.set(one, address);
    this.#begunOf.set(address, (this.#begunOf.get(address) ?? 0) + 1);
  }

  #takeOut(one: T, address: string): void {
    const same = this.#waiting.get(address);
    if (!same?.delete(one)) return;
    this.#waits--;
    if (same.size === 0) this.#waiting.delete(address);
  }

  #next(): void {
    const { begin, limits, now, refuse } = this.#parts;
    // Addresses that have all they may are passed over: there are few of them, as each has many under way.
    for (const [address, same] of this.#waiting) {
      while (this.#mayBegin(address)) {
        const first = same.entries().next().value;
        if (!first) break;
        const [one, sinceMs] = first;
        this.#takeOut(one, address);
        if (now() - sinceMs > limits.waitMs) {
          refuse(one);
          continue;
        }
        // To the end of the line of addresses.
        if (this.#waiting.delete(address)) this.#waiting.set(address, same);
        this.#begin(one, address);
        begin(one);
        return;
      }
      if (this.#begun.size >= limits.atOnce) return;
    }
  }
}
