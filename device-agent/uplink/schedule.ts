import type { Caps, CapWindow, UplinkSettings } from '#protocol/household.ts';

/** A moment as the clock on the household's wall shows it. */
export interface WallTime {
  /** 2026-03 */
  month: string;
  /** 2026-03-29 */
  date: string;
  /** 0 is Sunday. */
  day: number;
  hour: number;
  /** Since midnight by the wall's clock. */
  minute: number;
}

const DAYS = ['Sun', 'Mon', 'Tue', 'Wed', 'Thu', 'Fri', 'Sat'];
const MINUTE_MS = 60_000;

/** Turns instants into one time zone's wall time; the last minute is remembered, as it is asked for all the time. */
export class WallClock {
  readonly zone: string;
  /** Null for UTC, which needs none of the 5 MB this takes. */
  readonly #format: Intl.DateTimeFormat | null;
  #minute = Number.NaN;
  #last: WallTime = { month: '', date: '', day: 0, hour: 0, minute: 0 };

  /** @param zone IANA name */
  constructor(zone: string) {
    this.zone = zone;
    this.#format =
      zone === 'UTC'
        ? null
        : new Intl.DateTimeFormat('en-US', {
            timeZone: zone,
            hourCycle: 'h23',
            year: 'numeric',
            month: '2-digit',
            day: '2-digit',
            weekday: 'short',
            hour: '2-digit',
            minute: '2-digit',
          });
  }

  at(ms: number): WallTime {
    const minute = Math.floor(ms / MINUTE_MS);
    if (minute === this.#minute) return this.#last;
    this.#minute = minute;
    this.#last = this.#format === null ? utcAt(ms) : zonedAt(this.#format, ms);
    return this.#last;
  }
}

function utcAt(ms: number): WallTime {
  const at = new Date(ms);
  const date = at.toISOString().slice(0, 10);
  const hour = at.getUTCHours();
  return { month: date.slice(0, 7), date, day: at.getUTCDay(), hour, minute: hour * 60 + at.getUTCMinutes() };
}

function zonedAt(format: Intl.DateTimeFormat, ms: number): WallTime {
  const parts = new Map(format.formatToParts(ms).map((part) => [part.type, part.value]));
  const month = `${parts.get('year')}-${parts.get('month')}`;
  const hour = Number(parts.get('hour'));
  return {
    month,
    date: `${month}-${parts.get('day')}`,
    day: DAYS.indexOf(parts.get('weekday') ?? ''),
    hour,
    minute: hour * 60 + Number(parts.get('minute')),
  };
}

/** What holds now, and by which window of the schedule; null: outside all of them. */
export interface CapsInForce {
  caps: Caps;
  window: number | null;
  /** The time is not known: the strictest of all that may hold does. */
  strictest: boolean;
}

/**
 * The caps of a moment. Windows follow the wall's clock: when it is put forward, a window in the hour left out does
 * not hold that day; when it is put back, one in the repeated hour holds twice.
 * @param wall null while the time is not known
 */
export function capsAt(settings: UplinkSettings, wall: WallTime | null): CapsInForce {
  if (wall === null)
    return { caps: strictestOf([settings, ...settings.schedule]), window: null, strictest: true };
  const window = settings.schedule.findIndex((candidate) => holds(candidate, wall));
  const { upBytesPerSecond, downBytesPerSecond } = settings.schedule[window] ?? settings;
  return {
    caps: { upBytesPerSecond, downBytesPerSecond },
    window: window < 0 ? null : window,
    strictest: false,
  };
}

function holds(window: CapWindow, { day, minute }: WallTime): boolean {
  const from = minutesOf(window.from);
  const to = minutesOf(window.to);
  const today = window.days.includes(day);
  if (from < to) return today && minute >= from && minute < to;
  // It ends on the day after the one it began on.
  const yesterday = window.days.includes((day + 6) % 7);
  return (today && minute >= from) || (yesterday && minute < to);
}

function minutesOf(time: string): number {
  const [hours = 0, minutes = 0] = time.split(':').map(Number);
  return hours * 60 + minutes;
}

function strictestOf(all: readonly Caps[]): Caps {
  const least = (rates: (number | null)[]) => {
    const bounds = rates.filter((rate) => rate !== null);
    return bounds.length === 0 ? null : Math.min(...bounds);
  };
  return {
    upBytesPerSecond: least(all.map((caps) => caps.upBytesPerSecond)),
    downBytesPerSecond: least(all.map((caps) => caps.downBytesPerSecond)),
  };
}
