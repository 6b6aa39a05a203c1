import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Earnings } from '#protocol/messages.ts';
import type { UplinkHistory } from '#protocol/uplink.ts';
import { slotsOf, sumOf } from './charts.ts';

const NOW = Date.parse('2026-11-21T10:30:00Z');
const history: UplinkHistory = {
  today: '2026-11-21',
  timeZone: 'Asia/Shanghai',
  hours: [{ hour: 3, upBytes: 5, downBytes: 1, requests: 2 }],
  days: [
    { date: '2026-11-19', upBytes: 100, downBytes: 0, requests: 4 },
    { date: '2026-11-21', upBytes: 5, downBytes: 1, requests: 2 },
  ],
};
const earnings = {
  days: [{ date: '2026-11-19', bytes: 90, requests: 3, microCredits: '123456789012345678' }],
} as unknown as Earnings;

test('today is every hour up to now by the household’s clock, quiet ones included', () => {
  const slots = slotsOf('today', earnings, history, NOW);
  assert.equal(slots.length, 19, '18:30 in Shanghai');
  assert.deepEqual(slots[3], { at: 3, bytes: 5, requests: 2, microCredits: null });
  assert.equal(slots[4]?.bytes, 0);
});

test('a period is every day of it up to today, with the box’s count and the fleet’s credits', () => {
  const week = slotsOf('7', earnings, history, NOW);
  assert.deepEqual(
    week.map((slot) => slot.at),
    ['2026-11-15', '2026-11-16', '2026-11-17', '2026-11-18', '2026-11-19', '2026-11-20', '2026-11-21'],
  );
  assert.deepEqual(week[4], {
    at: '2026-11-19',
    bytes: 100,
    requests: 4,
    microCredits: '123456789012345678',
  });
  assert.equal(slotsOf('30', null, null, NOW).length, 30);
});

test('without the box’s own count the fleet’s stands in, and sums are exact', () => {
  const slots = slotsOf('7', earnings, null, NOW);
  assert.equal(slots[4]?.bytes, 90);
  assert.deepEqual(sumOf([...slots, ...slots]), {
    bytes: 180,
    requests: 6,
    microCredits: '246913578024691356',
  });
});

test('a box that does not know the time shows what it has', () => {
  const lost = { ...history, today: null };
  assert.equal(slotsOf('7', null, lost, NOW).at(-1)?.at, '2026-11-21');
});
