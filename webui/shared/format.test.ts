import assert from 'node:assert/strict';
import { afterEach, test } from 'node:test';
import {
  creditsForChart,
  formatBytes,
  formatCredits,
  formatCreditsFixed,
  formatCreditsShort,
  formatDay,
  formatDuration,
  formatNumber,
  formatRate,
  formatRelative,
  formatShare,
} from './format.ts';
import { language } from './i18n.ts';

afterEach(() => {
  language.value = 'en';
});

test('bytes have three digits and SI units, and roll over before four digits show', () => {
  assert.equal(formatBytes(0), '0 B');
  assert.equal(formatBytes(999), '999 B');
  assert.equal(formatBytes(1000), '1 kB');
  assert.equal(formatBytes(1536), '1.54 kB');
  assert.equal(formatBytes(22_700_000), '22.7 MB');
  assert.equal(formatBytes(999_499), '999 kB');
  assert.equal(formatBytes(999_600), '1 MB');
  assert.equal(formatBytes(1e15), '1 PB');
  assert.equal(formatRate(4_200_000.4), '4.2 MB/s');
});

test('credits are exact whatever their size, and never pass through a float', () => {
  assert.equal(formatCredits('0'), '0.00');
  assert.equal(formatCredits('1'), '0.000001');
  assert.equal(formatCredits('1500000'), '1.50');
  assert.equal(formatCredits('-25000'), '−0.025');
  assert.equal(formatCredits('-1'), '−0.000001');
  assert.equal(formatCredits('123456789012345678901234'), '123,456,789,012,345,678.901234');
  assert.equal(formatCredits(9_007_199_254_740_993n), '9,007,199,254.740993');
  assert.equal(formatCreditsFixed('1500000'), '1.500000');
});

test('headline credits are cut and not rounded up, and something is never shown as nothing', () => {
  assert.equal(formatCreditsShort('1999999'), '1.99');
  assert.equal(formatCreditsShort('999999'), '0.9999');
  assert.equal(formatCreditsShort('99'), '<0.0001');
  assert.equal(formatCreditsShort('0'), '0.00');
  assert.equal(creditsForChart('2500000'), 2.5);
});

test('durations take the two largest units', () => {
  assert.equal(formatDuration(0), '0 sec');
  assert.equal(formatDuration(8_400), '8 sec');
  assert.equal(formatDuration(61_000), '1 min 1 sec');
  assert.equal(formatDuration(187_200_000), '2 days 4 hr');
  assert.equal(formatDuration(86_400_000), '1 day');
});

test('relative times look back and ahead', () => {
  const now = Date.parse('2026-11-21T12:00:00Z');
  assert.equal(formatRelative('2026-11-21T11:59:40Z', now), 'now');
  assert.equal(formatRelative('2026-11-21T11:57:00Z', now), '3 minutes ago');
  assert.equal(formatRelative('2026-11-24T12:00:00Z', now), 'in 3 days');
  assert.equal(formatRelative('2026-11-22T11:59:58Z', now), 'in 24 hours');
  language.value = 'zh-Hans';
  assert.equal(formatRelative('2026-11-21T11:57:00Z', now), '3分钟前');
});

test('a UTC day is the same day everywhere', () => {
  assert.equal(formatDay('2026-11-21'), 'Nov 21');
  language.value = 'zh-Hans';
  assert.equal(formatDay('2026-11-21'), '11月21日');
});

test('numbers and shares', () => {
  assert.equal(formatNumber(48_211), '48,211');
  assert.equal(formatShare(1, 4), '25%');
  assert.equal(formatShare(0, 0), '0%');
});
