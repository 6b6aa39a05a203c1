import type { Logger } from 'pino';
import type { Household } from '#agent/settings/household.ts';
import type { Clock } from '#agent/time/clock.ts';
import { HearthError, messageOf } from '#protocol/errors.ts';
import type { UplinkHistory, UplinkView } from '#protocol/uplink.ts';
import type { Timers } from '#shaping/shaper.ts';
import { REAL_TIMERS, Shaper } from '#shaping/shaper.ts';
import { LONGEST_PAUSE_MS, Pause } from './pause.ts';
import type { WallTime } from './schedule.ts';
import { capsAt, WallClock } from './schedule.ts';
import { Speedometer } from './speedometer.ts';
import { Usage } from './usage.ts';

export interface UplinkParts {
  household: Household;
  clock: Clock;
  log: Logger;
  timers?: Timers;
  /** Requests served since the start. */
  requests?: () => number;
  /** Counts could not be written; what to call it. */
  onTrouble: (error: unknown) => unknown;
}

const TICK_MS = 1_000;

/**
 * The household's line: what may go over it, in both directions and over all connections, by its caps, their
 * schedule, the month's quota and the pause. Control traffic with the fleet, a few KiB a minute, is not counted.
 */
export class Uplink {
  /** What is sent to clients; its flows are their addresses (`flowOfAddress`). */
  readonly up: Shaper;
  /** What is fetched; its flows are the sources' hosts. */
  readonly down: Shaper;
  readonly #parts: UplinkParts;
  readonly #timers: Timers;
  readonly #usage: Usage;
  readonly #pause: Pause;
  readonly #speeds = { up: new Speedometer(), down: new Speedometer() };
  readonly #listeners: ((accepting: boolean) => void)[] = [];
  #wall: WallClock;
  #accepting = true;
  #requests = 0;
  #stopTick: () => void = () => undefined;
  #closed = false;

  constructor(parts: UplinkParts) {
    const { household, clock, log } = parts;
    this.#parts = parts;
    this.#timers = parts.timers ?? REAL_TIMERS;
    this.#wall = new WallClock(household.now.timeZone);
    this.#pause = new Pause(clock);
    this.#usage = new Usage({
      wall: () => this.#wallNow(),
      timeIsSure: () => clock.learnt,
      monthlyBytes: () => household.now.uplink.monthlyBytes,
      now: () => clock.monotonic(),
      onRoom: () => this.#wake(),
      onTrouble: (error) =>
        log.warn(
          { reason: messageOf(parts.onTrouble(error)) },
          'the count of the month could not be written',
        ),
    });
    this.up = new Shaper(this.#timers, this.#usage.up);
    this.down = new Shaper(this.#timers, this.#usage.down);
    household.onChange((now, before) => {
      if (now.timeZone !== before.timeZone) this.#wall = new WallClock(now.timeZone);
      this.#apply();
      if (now.timeZone !== before.timeZone || now.uplink.monthlyBytes !== before.uplink.monthlyBytes) {
        this.#usage.settingsChanged();
      }
      this.#wake();
    });
    this.#apply();
    this.#tick();
  }

  /** False while paused or with the month used up: content requests go back to the router, nothing is fetched. */
  get accepting(): boolean {
    return this.#accepting && !this.#usage.usedUp;
  }

  /** Told when `accepting` has become another. */
  onAccepting(listener: (accepting: boolean) => void): void {
    this.#listeners.push(listener);
  }

  /**
   * Stops everything that goes over the line: what is under way is cut, for the line is to be free now.
   * @param minutes 1 to 1440
   * @throws HearthError `bad_request`
   */
  async pause(minutes: number): Promise<void> {
    const ms = minutes * 60_000;
    if (!(Number.isInteger(minutes) && minutes >= 1 && ms <= LONGEST_PAUSE_MS)) {
      throw new HearthError('bad_request', 'A pause lasts 1 to 1440 minutes.');
    }
    const { household, clock } = this.#parts;
    await household.change({ pausedUntil: new Date(clock.bestNow() + ms).toISOString() });
  }

  async resume(): Promise<void> {
    await this.#parts.household.change({ pausedUntil: null });
  }

  /** Where counts are kept: the disk's file; null: it takes no writes now. */
  async useFile(file: string | null): Promise<void> {
    await this.#usage.useFile(file);
    this.#wake();
  }

  view(): UplinkView {
    const { household, clock } = this.#parts;
    const { caps, window, strictest } = capsAt(household.now.uplink, this.#wallNow());
    const leftMs = this.#pause.leftMs;
    const month = this.#usage.month();
    return {
      accepting: this.accepting,
      reason: leftMs > 0 ? 'paused' : this.#usage.usedUp ? 'month_used_up' : null,
      pausedUntil: leftMs > 0 ? new Date(clock.bestNow() + leftMs).toISOString() : null,
      caps: { ...caps, window, strictest },
      upBytesPerSecond: this.#speeds.up.bytesPerSecond,
      downBytesPerSecond: this.#speeds.down.bytesPerSecond,
      month: { ...month, monthlyBytes: household.now.uplink.monthlyBytes },
      waiting: this.up.waiters,
    };
  }

  /** What went out today by the household's clock, and survives a restart; null while the time is not known. */
  today(): { bytes: number; requests: number } | null {
    return this.#usage.today();
  }

  history(): UplinkHistory {
    const { hours, days } = this.#usage.history();
    const wall = this.#wallNow();
    const counts = (count: { up: number; down: number; requests: number }) => ({
      upBytes: count.up,
      downBytes: count.down,
      requests: count.requests,
    });
    return {
      today: wall?.date ?? null,
      timeZone: this.#wall.zone,
      hours: hours.map((entry) => ({ hour: entry.hour, ...counts(entry) })),
      days: days.slice(-30).map((entry) => ({ date: entry.date, ...counts(entry) })),
    };
  }

  /** Ends everything that waits, and puts the counts down exactly. */
  async close(): Promise<void> {
    this.#closed = true;
    this.#stopTick();
    this.up.close();
    this.down.close();
    await this.#usage.close();
  }

  #tick(): void {
    if (this.#closed) return;
    const requests = this.#parts.requests?.() ?? 0;
    this.#usage.addRequests(requests - this.#requests);
    this.#requests = requests;
    this.#usage.tick();
    this.#apply();
    this.#wake();
    const now = this.#timers.now();
    this.#speeds.up.read(now, this.up.takenBytes);
    this.#speeds.down.read(now, this.down.takenBytes);
    this.#stopTick = this.#timers.after(TICK_MS, () => this.#tick());
  }

  #wallNow(): WallTime | null {
    const now = this.#parts.clock.fleetNow();
    return now === null ? null : this.#wall.at(now);
  }

  /** Puts in force what holds now. */
  #apply(): void {
    if (this.#closed) return;
    const { uplink, pausedUntil } = this.#parts.household.now;
    this.#pause.set(pausedUntil);
    const { caps } = capsAt(uplink, this.#wallNow());
    this.up.setRate(caps.upBytesPerSecond);
    this.down.setRate(caps.downBytesPerSecond);
  }

  #wake(): void {
    if (this.#closed) return;
    const accepting = !this.#pause.active && !this.#usage.usedUp;
    if (accepting !== this.#accepting) {
      this.#accepting = accepting;
      this.up.setOpen(accepting);
      this.down.setOpen(accepting);
      for (const listener of this.#listeners) listener(accepting);
    }
    this.up.wake();
    this.down.wake();
  }
}
