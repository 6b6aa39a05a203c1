import { formatNumber } from '../shared/format.ts';
import { t } from './text.ts';

/** Lines are sold in megabits a second; the box counts bytes. */
const MBIT_BYTES = 125_000;
const GB_BYTES = 1_000_000_000;

/** What stands in a field for a number of bytes; empty for none. */
export function toField(bytes: number | null, unit: 'mbit' | 'gb'): string {
  if (bytes === null) return '';
  const value = bytes / (unit === 'mbit' ? MBIT_BYTES : GB_BYTES);
  return String(Number(value.toFixed(value < 10 ? 2 : 1)));
}

/**
 * Reads a field again: an empty one is no limit.
 * @returns bytes, null for no limit, undefined when it is no number or below `leastBytes`
 */
export function fromField(typed: string, unit: 'mbit' | 'gb', leastBytes = 0): number | null | undefined {
  const text = typed.trim().replace(',', '.');
  if (text === '') return null;
  if (!/^\d{1,7}(\.\d{0,3})?$/.test(text)) return undefined;
  const bytes = Math.round(Number(text) * (unit === 'mbit' ? MBIT_BYTES : GB_BYTES));
  return bytes >= leastBytes ? bytes : undefined;
}

/** A rate as lines are sold: `12.5 Mbit/s`; null is no limit. */
export function formatMbit(bytesPerSecond: number | null): string {
  if (bytesPerSecond === null) return t('unit.none');
  const value = bytesPerSecond / MBIT_BYTES;
  // Something is not shown as nothing.
  if (value > 0 && value < 0.05) return t('unit.mbit', { n: `<${formatNumber(0.1, 1)}` });
  return t('unit.mbit', { n: formatNumber(value, value < 10 ? 1 : 0) });
}
