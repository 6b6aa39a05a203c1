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

const DAY_MS = 86_400_000;

/**
 * What a chart shows: every hour of today up to now, or every day of a period up to today, those without anything
 * included. What went over the line is the box's own count by the household's clock; credits are the fleet's, by UTC
 * days.
 */
export function slotsOf(
  period: Period,
  earnings: Earnings | null,
  history: UplinkHistory | null,
  nowMs: number,
): Slot[] {
  if (period === 'today') {
    const hours = history?.hours ?? [];
    const last = Math.max(-1, ...hours.map((each) => each.hour), hourIn(history?.timeZone, nowMs));
    return Array.from({ length: last + 1 }, (_, hour) => {
      const found = hours.find((each) => each.hour === hour);
      return { at: hour, bytes: found?.upBytes ?? 0, requests: found?.requests ?? 0, microCredits: null };
    });
  }
  const today = history?.today ?? new Date(nowMs).toISOString().slice(0, 10);
  const end = Date.parse(`${today}T00:00:00Z`);
  return Array.from({ length: Number(period) }, (_, index) => {
    const date = new Date(end - (Number(period) - 1 - index) * DAY_MS).toISOString().slice(0, 10);
    const counted = history?.days.find((each) => each.date === date);
    const paid = earnings?.days.find((each) => each.date === date);
    return {
      at: date,
      bytes: counted?.upBytes ?? paid?.bytes ?? 0,
      requests: counted?.requests ?? paid?.requests ?? 0,
      microCredits: paid?.microCredits ?? '0',
    };
  });
}

function hourIn(timeZone: string | undefined, nowMs: number): number {
  if (timeZone === undefined) return -1;
  const text = new Intl.DateTimeFormat('en', { hour: '2-digit', hourCycle: 'h23', timeZone }).format(nowMs);
  return Number(text);
}

/** The sums of a period. */
export function sumOf(slots: readonly Slot[]): { bytes: number; requests: number; microCredits: string } {
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
