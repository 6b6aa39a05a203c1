import type { Timers } from '#shaping/shaper.ts';
import { flowOfAddress, REAL_TIMERS, Shaper } from '#shaping/shaper.ts';

export interface TollRates {
  /** Bytes a second of all boxes together; null: no bound. */
  total: number | null;
  /** Bytes a second of one box; null: no bound. */
  perBox: number | null;
}

/** Boxes whose own bound is remembered; those for whom nothing waits are forgotten first. */
const MOST_BOXES = 20_000;

/** What one connection or answer has to pay before its bytes go on; see `Tolls`. */
export interface Toll {
  /**
   * Pays for bytes in full.
   * @param paid called once, later, if a function is returned; false: they will never go
   * @returns true: they may go now; else what cancels the wait
   */
  pay(bytes: number, paid: (may: boolean) => void): true | (() => void);
}

/**
 * The relay's line in fair shares, by bytes: first between boxes, then between the clients of one box. Both directions
 * count, since a relay's line carries everything twice anyway. Without bounds it costs nothing: there is no toll.
 */
export class Tolls {
  readonly #rates: TollRates;
  readonly #timers: Timers;
  readonly #total: Shaper | null;
  readonly #boxes = new Map<string, Shaper>();

  constructor(rates: TollRates, timers: Timers = REAL_TIMERS) {
    this.#rates = rates;
    this.#timers = timers;
    this.#total = rates.total === null ? null : new Shaper(timers);
    this.#total?.setRate(rates.total);
  }

  /** Boxes with a bound of their own that are remembered. */
  get boxes(): number {
    return this.#boxes.size;
  }

  /** @returns null where nothing has to be paid */
  of(boxId: string, client: string): Toll | null {
    const stages: { shaper: Shaper; flow: string }[] = [];
    if (this.#rates.perBox !== null) {
      stages.push({ shaper: this.#box(boxId, this.#rates.perBox), flow: flowOfAddress(client) });
    }
    if (this.#total) stages.push({ shaper: this.#total, flow: boxId });
    return stages.length === 0 ? null : new Stages(stages);
  }

  #box(boxId: string, bytesPerSecond: number): Shaper {
    let shaper = this.#boxes.get(boxId);
    if (!shaper) {
      if (this.#boxes.size >= MOST_BOXES) this.#forget();
      shaper = new Shaper(this.#timers);
      shaper.setRate(bytesPerSecond);
      this.#boxes.set(boxId, shaper);
    }
    return shaper;
  }

  #forget(): void {
    for (const [boxId, shaper] of this.#boxes) if (shaper.waiters === 0) this.#boxes.delete(boxId);
  }

  /** Whoever waits is told that nothing goes any more. */
  close(): void {
    this.#total?.close();
    for (const shaper of this.#boxes.values()) shaper.close();
  }
}

/** Pays at one shaper after the other, grant by grant. */
class Stages implements Toll {
  readonly #stages: readonly { shaper: Shaper; flow: string }[];

  constructor(stages: readonly { shaper: Shaper; flow: string }[]) {
    this.#stages = stages;
  }

  pay(bytes: number, paid: (may: boolean) => void): true | (() => void) {
    let stage = 0;
    let left = bytes;
    let cancel: () => void = () => undefined;
    /** Goes on as far as it can. @returns true: all is paid; false: never; null: it waits */
    const go = (): boolean | null => {
      for (let at = this.#stages[stage]; at; at = this.#stages[++stage], left = bytes) {
        while (left > 0) {
          const granted = at.shaper.ask(at.flow, left, later);
          if (typeof granted === 'function') {
            cancel = granted;
            return null;
          }
          if (granted === 0) return false;
          left -= granted;
        }
      }
      return true;
    };
    const later = (granted: number): void => {
      left -= granted;
      const done = granted === 0 ? false : go();
      if (done !== null) paid(done);
    };
    const done = go();
    if (done === true) return true;
    // Not within the call: who asks has not been told yet what it waits for.
    if (done === false) queueMicrotask(() => paid(false));
    return () => cancel();
  }
}
