import type { Earnings } from '#protocol/messages.ts';
import type { UplinkHistory } from '#protocol/uplink.ts';

export type Period = 'today' | '7' | '30';
export type Measure = 'credits' | 'bytes' | 'requests';

export interface Slot {
  /** A day (2026-11-21) or an hour of today (0 to 23). */
  at: string | number;
  bytes: number;
  requests: number;
  /** Micro-credits; null where the fleet's books have nothing that fine. */
  microCredits: string | null;
}

export interface DaySlot extends Slot {
  at: string;
  microCredits: string;
}

const HOUR_MS = 3_600_000;
const DAY_MS = 86_400_000;

/**
 * What a chart shows: every hour of today up to now, or every day of a period up to today, those without anything
 * included, by the household's clock. What went over the line is the box's own count; credits are the fleet's, of the
 * hour in which they were settled.
 */
export function slotsOf(
  period: Period,
  earnings: Earnings | null,
  history: UplinkHistory | null,
  nowMs: number,
): Slot[] {
  if (period === 'today') {
    const counted = history?.hours ?? [];
    const now = wallTime(nowMs, history?.timeZone);
    const settled = history ? settledToday(earnings, history.timeZone, nowMs) : null;
    const hours = [...counted.map(({ hour }) => hour), ...(settled?.keys() ?? [])];
    return Array.from({ length: Math.max(-1, now.hour, ...hours) + 1 }, (_, hour) => {
      const found = counted.find((each) => each.hour === hour);
      const microCredits = settled === null ? null : String(settled.get(hour) ?? 0n);
      return { at: hour, bytes: found?.upBytes ?? 0, requests: found?.requests ?? 0, microCredits };
    });
  }
  return daysOf(Number(period), earnings, history, nowMs);
}

/**
 * So many days up to today, by the household's clock; where the fleet tells of days alone, its credits are of UTC's
 * days of the same date.
 */
export function daysOf(
  count: number,
  earnings: Earnings | null,
  history: UplinkHistory | null,
  nowMs: number,
): DaySlot[] {
  const today = history?.today ?? new Date(nowMs).toISOString().slice(0, 10);
  const end = Date.parse(`${today}T00:00:00Z`);
  const settled = history ? settledByDay(earnings, history.timeZone) : null;
  return Array.from({ length: count }, (_, index) => {
    const date = new Date(end - (count - 1 - index) * DAY_MS).toISOString().slice(0, 10);
    const counted = history?.days.find((each) => each.date === date);
    const booked = earnings?.days.find((each) => each.date === date);
    return {
      at: date,
      bytes: counted?.upBytes ?? booked?.bytes ?? 0,
      requests: counted?.requests ?? booked?.requests ?? 0,
      microCredits: settled ? String(settled.get(date) ?? 0n) : (booked?.microCredits ?? '0'),
    };
  });
}

/** Micro-credits by the household's days; null where the fleet does not tell of the hours of a month. */
function settledByDay(earnings: Earnings | null, timeZone: string): Map<string, bigint> | null {
  if (!earnings?.hourly) return null;
  const { from, microCredits } = earnings.hourly;
  const wall = wallClock(timeZone);
  const sums = new Map<string, bigint>();
  for (const [index, credits] of microCredits.entries()) {
    if (credits === '0') continue;
    const { date } = wall(Date.parse(from) + index * HOUR_MS);
    sums.set(date, (sums.get(date) ?? 0n) + BigInt(credits));
  }
  return sums;
}

/** Micro-credits by the hour of today in which they were settled; null where the fleet does not tell of hours. */
function settledToday(
  earnings: Earnings | null,
  timeZone: string,
  nowMs: number,
): Map<number, bigint> | null {
  if (!earnings?.hours) return null;
  const today = wallTime(nowMs, timeZone).date;
  const sums = new Map<number, bigint>();
  const wall = wallClock(timeZone);
  for (const { at, microCredits } of earnings.hours) {
    const { date, hour } = wall(Date.parse(at));
    if (date === today) sums.set(hour, (sums.get(hour) ?? 0n) + BigInt(microCredits));
  }
  return sums;
}

/**
 * What was settled today: by the household's clock where the fleet tells of hours, else its newest UTC day.
 * @returns `date` of that day; null when nothing was earned yet
 */
export function creditsOfToday(
  earnings: Earnings | null,
  timeZone: string,
  nowMs: number,
): { date: string; isToday: boolean; microCredits: string } | null {
  const newest = earnings?.days.at(-1);
  if (!newest) return null;
  const settled = settledToday(earnings, timeZone, nowMs);
  if (settled === null) return { ...newest, isToday: newest.date === wallTime(nowMs, 'UTC').date };
  const sum = [...settled.values()].reduce((all, each) => all + each, 0n);
  return { date: wallTime(nowMs, timeZone).date, isToday: true, microCredits: String(sum) };
}

/**
 * When the days that are shown end by the household's clock, as `08:00`, where they are the fleet's: the ledger has one
 * day for everybody.
 * @returns null where they are the household's own
 */
export function daysEndAt(earnings: Earnings | null, timeZone: string, nowMs: number): string | null {
  if (!earnings || earnings.hourly) return null;
  const end = (Math.floor(nowMs / DAY_MS) + 1) * DAY_MS;
  const time = new Intl.DateTimeFormat('en-GB', {
    hour: '2-digit',
    minute: '2-digit',
    hourCycle: 'h23',
    timeZone,
  }).format(end);
  return time === '00:00' ? null : time;
}

/** What bytes not settled yet may come to, at what those of the last days were paid; null when nothing was paid yet. */
export function estimateOf(pendingBytes: number, earnings: Earnings | null): string | null {
  const { bytes, microCredits } = sumOf(earnings?.days ?? []);
  return bytes === 0 ? null : String((BigInt(pendingBytes) * BigInt(microCredits)) / BigInt(bytes));
}

/** @param timeZone undefined: not known, so there is no hour either */
function wallTime(ms: number, timeZone: string | undefined): { date: string; hour: number } {
  return wallClock(timeZone)(ms);
}

/** As `wallTime`, for many: making a format is what costs. */
function wallClock(timeZone: string | undefined): (ms: number) => { date: string; hour: number } {
  const format = new Intl.DateTimeFormat('en-CA', {
    year: 'numeric',
    month: '2-digit',
    day: '2-digit',
    hour: '2-digit',
    hourCycle: 'h23',
    timeZone: timeZone ?? 'UTC',
  });
  return (ms) => {
    const part = Object.fromEntries(format.formatToParts(ms).map(({ type, value }) => [type, value]));
    return {
      date: `${part.year}-${part.month}-${part.day}`,
      hour: timeZone === undefined ? -1 : Number(part.hour),
    };
  };
}

/** The sums of a period. */
export function sumOf(slots: readonly Omit<Slot, 'at'>[]): {
  bytes: number;
  requests: number;
  microCredits: string;
} {
  let bytes = 0;
  let requests = 0;
  let micro = 0n;
  for (const slot of slots) {
    bytes += slot.bytes;
    requests += slot.requests;
    micro += BigInt(slot.microCredits ?? '0');
  }
  return { bytes, requests, microCredits: String(micro) };
}
