import type { Household } from '#agent/settings/household.ts';
import type { Timers } from './shaper.ts';
import { REAL_TIMERS, Shaper } from './shaper.ts';

/** The household's line: what may go over it, in both directions and over all connections. */
export class Uplink {
  /** What is sent to clients; its flows are their addresses (`flowOfAddress`). */
  readonly up: Shaper;
  /** What is fetched; its flows are the sources' hosts. */
  readonly down: Shaper;
  readonly #household: Household;

  constructor(parts: { household: Household; timers?: Timers }) {
    const timers = parts.timers ?? REAL_TIMERS;
    this.#household = parts.household;
    this.up = new Shaper(timers);
    this.down = new Shaper(timers);
    parts.household.onChange(() => this.#apply());
    this.#apply();
  }

  /** False while nothing new is to be served: content requests go back to the router. */
  get accepting(): boolean {
    return true;
  }

  close(): void {
    this.up.close();
    this.down.close();
  }

  #apply(): void {
    const { upBytesPerSecond, downBytesPerSecond } = this.#household.now.uplink;
    this.up.setRate(upBytesPerSecond);
    this.down.setRate(downBytesPerSecond);
  }
}
