import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { UplinkSettings } from '#protocol/household.ts';
import { capsAt, WallClock } from './schedule.ts';

const MIB = 1024 * 1024;

function settings(...schedule: UplinkSettings['schedule']): UplinkSettings {
  return { upBytesPerSecond: MIB, downBytesPerSecond: null, schedule, monthlyBytes: null };
}
function window(days: number[], from: string, to: string, upBytesPerSecond = 10_000) {
  return { days, from, to, upBytesPerSecond, downBytesPerSecond: 20_000 };
}
/** Which window holds in that zone at that instant. */
function at(plan: UplinkSettings, zone: string, instant: string): number | null {
  return capsAt(plan, new WallClock(zone).at(Date.parse(instant))).window;
}

test('a window holds by the household clock, from its first minute up to its last', () => {
  // 2026-06-01 is a Monday.
  const plan = settings(window([1], '18:30', '23:00'));
  assert.equal(at(plan, 'Asia/Shanghai', '2026-06-01T10:29:59Z'), null);
  assert.equal(at(plan, 'Asia/Shanghai', '2026-06-01T10:30:00Z'), 0);
  assert.equal(at(plan, 'Asia/Shanghai', '2026-06-01T14:59:59Z'), 0);
  assert.equal(at(plan, 'Asia/Shanghai', '2026-06-01T15:00:00Z'), null);
  assert.equal(at(plan, 'Asia/Shanghai', '2026-06-02T11:00:00Z'), null);
  assert.equal(at(plan, 'Asia/Kathmandu', '2026-06-01T12:45:00Z'), 0);
});

test('a window past midnight ends on the next day; Saturday goes over into Sunday', () => {
  const plan = settings(window([6], '22:00', '06:00'));
  assert.equal(at(plan, 'UTC', '2026-06-06T21:59:00Z'), null);
  assert.equal(at(plan, 'UTC', '2026-06-06T22:00:00Z'), 0);
  assert.equal(at(plan, 'UTC', '2026-06-07T05:59:00Z'), 0);
  assert.equal(at(plan, 'UTC', '2026-06-07T06:00:00Z'), null);
  assert.equal(at(plan, 'UTC', '2026-06-06T05:00:00Z'), null, 'what began on Friday was not asked for');
});

test('the same time twice is a whole day', () => {
  const plan = settings(window([0], '12:00', '12:00'));
  assert.equal(at(plan, 'UTC', '2026-06-07T11:59:00Z'), null);
  assert.equal(at(plan, 'UTC', '2026-06-07T12:00:00Z'), 0);
  assert.equal(at(plan, 'UTC', '2026-06-08T11:59:00Z'), 0);
  assert.equal(at(plan, 'UTC', '2026-06-08T12:00:00Z'), null);
});

test('the first window that holds decides, and outside all the caps are the plain ones', () => {
  const plan = settings(window([1], '08:00', '12:00', 11_111), window([1], '07:00', '13:00', 22_222));
  const clock = new WallClock('UTC');
  const caps = (instant: string) => capsAt(plan, clock.at(Date.parse(instant))).caps.upBytesPerSecond;
  assert.equal(caps('2026-06-01T07:30:00Z'), 22_222);
  assert.equal(caps('2026-06-01T08:30:00Z'), 11_111);
  assert.equal(caps('2026-06-01T14:00:00Z'), MIB);
});

test('daylight saving: windows follow the wall, in summer as in winter', () => {
  const plan = settings(window([0, 1, 2, 3, 4, 5, 6], '01:30', '02:30'));
  // Berlin goes forward on 2026-03-29: 02:00 is 03:00, so the window ends half an hour after it began.
  assert.equal(at(plan, 'Europe/Berlin', '2026-03-29T00:30:00Z'), 0);
  assert.equal(at(plan, 'Europe/Berlin', '2026-03-29T00:59:00Z'), 0);
  assert.equal(at(plan, 'Europe/Berlin', '2026-03-29T01:00:00Z'), null);
  // And back on 2026-10-25: 03:00 is 02:00 again, and 02:00 to 02:30 comes twice.
  assert.equal(at(plan, 'Europe/Berlin', '2026-10-25T00:15:00Z'), 0);
  assert.equal(at(plan, 'Europe/Berlin', '2026-10-25T00:45:00Z'), null);
  assert.equal(at(plan, 'Europe/Berlin', '2026-10-25T01:15:00Z'), 0);
  assert.equal(at(plan, 'Europe/Berlin', '2026-10-25T01:45:00Z'), null);
});

test('while the time is not known the strictest of all caps holds', () => {
  const plan = settings(window([1], '08:00', '09:00', 12_000), window([2], '08:00', '09:00', 9_000));
  const found = capsAt(plan, null);
  assert.deepEqual(found.caps, { upBytesPerSecond: 9_000, downBytesPerSecond: 20_000 });
  assert.equal(found.strictest, true);
  assert.deepEqual(capsAt(settings(), null).caps, { upBytesPerSecond: MIB, downBytesPerSecond: null });
});

test('months and days begin at midnight on the wall', () => {
  const clock = new WallClock('America/New_York');
  const before = clock.at(Date.parse('2026-03-01T04:59:00Z'));
  assert.deepEqual([before.month, before.date, before.hour], ['2026-02', '2026-02-28', 23]);
  const after = clock.at(Date.parse('2026-03-01T05:00:00Z'));
  assert.deepEqual([after.month, after.date, after.hour, after.minute], ['2026-03', '2026-03-01', 0, 0]);
});

test('UTC by the short way is what the long way says', () => {
  const short = new WallClock('UTC');
  const long = new WallClock('Etc/UTC');
  for (const ms of [
    0,
    Date.UTC(2026, 1, 28, 23, 59),
    Date.UTC(2024, 1, 29),
    Date.UTC(2026, 11, 31, 12, 30),
  ]) {
    assert.deepEqual(short.at(ms), long.at(ms));
  }
});
