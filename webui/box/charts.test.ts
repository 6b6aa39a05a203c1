import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Earnings } from '#protocol/messages.ts';
import type { UplinkHistory } from '#protocol/uplink.ts';
import { creditsOfToday, daysEndAt, daysOf, estimateOf, slotsOf, sumOf } from './charts.ts';

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

const told = {
  ...earnings,
  hours: [
    // 23:00 of yesterday and midnight in Shanghai.
    { at: '2026-11-20T15:00:00Z', microCredits: '7', bytes: 1, requests: 1 },
    { at: '2026-11-20T16:00:00Z', microCredits: '20', bytes: 1, requests: 1 },
    { at: '2026-11-21T10:00:00Z', microCredits: '3', bytes: 1, requests: 1 },
  ],
} as unknown as Earnings;

test('the credits of today are those settled since midnight where the household lives', () => {
  const slots = slotsOf('today', told, history, NOW);
  assert.equal(slots.length, 19);
  assert.equal(slots[0]?.microCredits, '20');
  assert.equal(slots[18]?.microCredits, '3');
  assert.equal(slots[3]?.microCredits, '0');
  assert.equal(sumOf(slots).microCredits, '23');
  assert.deepEqual(creditsOfToday(told, 'Asia/Shanghai', NOW), {
    date: '2026-11-21',
    isToday: true,
    microCredits: '23',
  });
  assert.equal(creditsOfToday(told, 'UTC', NOW)?.microCredits, '3');
});

test('a fleet that tells of days alone: its newest day stands in, under its own date', () => {
  const newest = creditsOfToday(earnings, 'Asia/Shanghai', NOW);
  assert.equal(newest?.isToday, false);
  assert.equal(newest?.date, '2026-11-19');
  assert.equal(newest?.microCredits, '123456789012345678');
  assert.equal(creditsOfToday(null, 'UTC', NOW), null);
});

test('what is pending is estimated at what was paid, exactly, and not at all before anything was', () => {
  assert.equal(estimateOf(45, earnings), '61728394506172839');
  assert.equal(estimateOf(45, null), null);
  assert.equal(estimateOf(0, earnings), '0');
});

test('the end of the books’ day is told by the household’s clock, unless the days are its own', () => {
  const ends = (timeZone: string, nowMs = NOW) => daysEndAt(earnings, timeZone, nowMs);
  assert.equal(ends('Asia/Shanghai'), '08:00');
  assert.equal(ends('Asia/Kathmandu'), '05:45');
  assert.equal(ends('UTC'), null);
  assert.equal(ends('Europe/London'), null);
  assert.equal(ends('Europe/London', Date.parse('2026-07-01T10:00:00Z')), '01:00');
  // The night in which the clocks go back: by the time that will be.
  assert.equal(ends('America/New_York', Date.parse('2026-11-01T02:00:00Z')), '19:00');
  const hourly = { from: '2026-11-20T00:00:00Z', microCredits: [] };
  assert.equal(daysEndAt({ ...earnings, hourly }, 'Asia/Shanghai', NOW), null);
  assert.equal(daysEndAt(null, 'Asia/Shanghai', NOW), null);
});

test('where the fleet tells of hours, days are the household’s, and their sum is the books’', () => {
  const hourly = {
    // 14:00 in Shanghai, 22:00 the day before in Los Angeles.
    from: '2026-11-19T06:00:00.000Z',
    microCredits: ['1', ...Array(9).fill('0'), '20', ...Array(40).fill('0'), '300'],
  };
  const credits = (timeZone: string, today: string, count = 4) =>
    daysOf(count, { ...earnings, hourly }, { ...history, timeZone, today }, NOW).map(
      (day) => `${day.at.slice(8)} ${day.microCredits}`,
    );
  assert.deepEqual(credits('Asia/Shanghai', '2026-11-21'), ['18 0', '19 1', '20 20', '21 300']);
  assert.deepEqual(credits('America/Los_Angeles', '2026-11-21'), ['18 1', '19 20', '20 0', '21 300']);
  assert.deepEqual(credits('UTC', '2026-11-21'), ['18 0', '19 21', '20 0', '21 300']);
  // The household's page has not heard of its zone yet: the fleet's own days.
  assert.equal(daysOf(7, { ...earnings, hourly }, null, NOW)[4]?.microCredits, '123456789012345678');
});
