import { language } from './i18n.ts';

/** How numbers, sizes, times and credits are written, in the language in use. */

const UNITS = ['B', 'kB', 'MB', 'GB', 'TB', 'PB'] as const;

/** A whole or decimal number with the language's grouping. */
export function formatNumber(value: number, maximumFractionDigits = 0): string {
  return new Intl.NumberFormat(language.value, { maximumFractionDigits }).format(value);
}

/** Bytes in SI units with three significant digits: `0 B`, `1.5 kB`, `22.7 MB`. */
export function formatBytes(bytes: number): string {
  let value = bytes;
  let unit = 0;
  // 999.5 would be written as "1000", so the next unit starts there.
  while (value >= 999.5 && unit < UNITS.length - 1) {
    value /= 1000;
    unit += 1;
  }
  const digits = unit === 0 || value >= 99.95 ? 0 : value >= 9.995 ? 1 : 2;
  return `${formatNumber(value, digits)} ${UNITS[unit]}`;
}

/** Bytes per second. */
export function formatRate(bytesPerSecond: number): string {
  return `${formatBytes(Math.round(bytesPerSecond))}/s`;
}

const MICRO = 1_000_000n;

/**
 * Micro-credits as credits, exact: at least two decimals, at most six, never through a float.
 * @param micro a whole number of micro-credits as the API sends it
 */
export function formatCredits(micro: string | bigint): string {
  return writeCredits(BigInt(micro), 6);
}

/** Micro-credits as credits with all six decimals, for columns whose points should stand in line. */
export function formatCreditsFixed(micro: string | bigint): string {
  return writeCredits(BigInt(micro), 6, 6);
}

/**
 * Credits for a headline: two decimals from one credit up, else four; cut, never rounded up, so that nobody
 * is shown more than there is. What is too small to show but there is written as `<0.0001`.
 */
export function formatCreditsShort(micro: string | bigint): string {
  const value = BigInt(micro);
  const size = value < 0n ? -value : value;
  if (size > 0n && size < 100n) return value < 0n ? '-<0.0001' : '<0.0001';
  return writeCredits(value, size >= MICRO ? 2 : 4);
}

function writeCredits(value: bigint, maxDecimals: number, minDecimals = 2): string {
  const size = value < 0n ? -value : value;
  const whole = new Intl.NumberFormat(language.value).format(size / MICRO);
  const decimals = (size % MICRO).toString().padStart(6, '0').slice(0, maxDecimals);
  const shown = decimals.replace(/0+$/, '').padEnd(minDecimals, '0');
  const sign = value < 0n && /[1-9]/.test(`${whole}${shown}`) ? '−' : '';
  return `${sign}${whole}.${shown}`;
}

/** Micro-credits as a number of credits, for drawing only: a picture needs no sixteenth digit. */
export function creditsForChart(micro: string): number {
  return Number(BigInt(micro)) / 1e6;
}

const STEPS: [Intl.RelativeTimeFormatUnit, number][] = [
  ['day', 86_400_000],
  ['hour', 3_600_000],
  ['minute', 60_000],
];

/** A moment seen from now: `now`, `3 minutes ago`, `in 2 days`. */
export function formatRelative(iso: string, nowMs: number): string {
  const differenceMs = Date.parse(iso) - nowMs;
  const relative = new Intl.RelativeTimeFormat(language.value, { numeric: 'auto' });
  // "3 minutes ago" is begun minutes; what is to come is rounded, or a day set just now would be 23 hours.
  const round = differenceMs > 0 ? Math.round : Math.trunc;
  for (const [unit, stepMs] of STEPS) {
    if (Math.abs(differenceMs) >= stepMs) return relative.format(round(differenceMs / stepMs), unit);
  }
  return relative.format(0, 'second');
}

/** Date and time of day, in the viewer's own time zone. */
export function formatDateTime(iso: string): string {
  return new Intl.DateTimeFormat(language.value, { dateStyle: 'medium', timeStyle: 'short' }).format(
    new Date(iso),
  );
}

/** The same to the second, where the order of things matters. */
export function formatMoment(iso: string): string {
  return new Intl.DateTimeFormat(language.value, { dateStyle: 'medium', timeStyle: 'medium' }).format(
    new Date(iso),
  );
}

/** A date as HTTP headers have it (RFC 9110, 5.6.7); what is none is shown as it came. */
export function formatHttpDate(text: string): string {
  const ms = Date.parse(text);
  return Number.isNaN(ms) ? text : formatDateTime(new Date(ms).toISOString());
}

/** Hours and minutes, in the viewer's own time zone. */
export function formatTimeOfDay(iso: string): string {
  return new Intl.DateTimeFormat(language.value, { timeStyle: 'short' }).format(new Date(iso));
}

/** A UTC day (`2026-11-21`) as the ledger counts it. */
export function formatDay(date: string): string {
  return new Intl.DateTimeFormat(language.value, { day: 'numeric', month: 'short', timeZone: 'UTC' }).format(
    new Date(`${date}T00:00:00Z`),
  );
}

/** The calendar day of a moment in the viewer's own time zone, for grouping and headings. */
export function formatLocalDay(iso: string): string {
  return new Intl.DateTimeFormat(language.value, { weekday: 'long', day: 'numeric', month: 'long' }).format(
    new Date(iso),
  );
}

const DURATION: [Intl.NumberFormatOptions['unit'] & string, number][] = [
  ['day', 86_400_000],
  ['hour', 3_600_000],
  ['minute', 60_000],
  ['second', 1000],
];

/** A length of time by its two largest units: `2 days 4 hr`, `12 min`, `8 sec`. */
export function formatDuration(durationMs: number): string {
  const parts: string[] = [];
  let rest = durationMs;
  for (const [unit, stepMs] of DURATION) {
    const count = Math.floor(rest / stepMs);
    rest -= count * stepMs;
    if (count === 0 && !(unit === 'second' && parts.length === 0)) {
      if (parts.length > 0) break;
      continue;
    }
    parts.push(
      new Intl.NumberFormat(language.value, { style: 'unit', unit, unitDisplay: 'short' }).format(count),
    );
    if (parts.length === 2) break;
  }
  return parts.join(' ');
}

/** A share of a whole as a percentage; nothing of nothing is 0 %. */
export function formatShare(part: number, whole: number): string {
  return new Intl.NumberFormat(language.value, { style: 'percent', maximumFractionDigits: 0 }).format(
    whole === 0 ? 0 : part / whole,
  );
}
