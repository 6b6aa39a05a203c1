import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, test } from 'node:test';
import pino from 'pino';
import { Household } from '#agent/settings/household.ts';
import { Clock } from '#agent/time/clock.ts';
import type { HouseholdSettings } from '#protocol/household.ts';
import { DEFAULT_HOUSEHOLD } from '#protocol/household.ts';
import { uplinkHistorySchema, uplinkViewSchema } from '#protocol/uplink.ts';
import { FakeTimers } from '#shaping/fake-timers.ts';
import { Uplink } from './uplink.ts';

const HOUR_MS = 3_600_000;
let folder = '';
beforeEach(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'hearth-uplink-'));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

/** An uplink on a clock turned by hand, with settings that survive in `folder`. */
async function start(instant: string, defaults: Partial<HouseholdSettings['uplink']> = {}) {
  const timers = new FakeTimers();
  const wall = { offsetMs: Date.parse(instant) };
  const household = await Household.open(folder, {
    ...DEFAULT_HOUSEHOLD,
    uplink: { ...DEFAULT_HOUSEHOLD.uplink, monthlyBytes: null, ...defaults },
  });
  const clock = new Clock(
    () => wall.offsetMs + timers.now(),
    () => timers.now(),
  );
  const log = pino({ level: 'silent' });
  const served = { requests: 0 };
  const uplink = new Uplink({
    household,
    clock,
    log,
    timers,
    requests: () => served.requests,
    onTrouble: (error) => error,
  });
  return { uplink, served, household, timers, clock, wall };
}

test('caps follow the schedule by themselves, and a change of settings at once', async () => {
  const { uplink, household, timers } = await start('2026-06-01T07:59:58Z', {
    upBytesPerSecond: 1_000_000,
    schedule: [{ days: [1], from: '08:00', to: '09:00', upBytesPerSecond: 50_000, downBytesPerSecond: null }],
  });
  assert.equal(uplink.up.bytesPerSecond, 1_000_000);
  timers.run(3_000);
  assert.equal(uplink.up.bytesPerSecond, 50_000);
  assert.equal(uplink.down.bytesPerSecond, null);
  assert.equal(uplink.view().caps.window, 0);
  timers.run(HOUR_MS);
  assert.equal(uplink.up.bytesPerSecond, 1_000_000);
  await household.change({ uplink: { ...household.now.uplink, upBytesPerSecond: 70_000, schedule: [] } });
  assert.equal(uplink.up.bytesPerSecond, 70_000);
  await uplink.close();
});

test('with the clock at 1970 the strictest caps hold, until the fleet has told the time', async () => {
  const { uplink, timers, clock } = await start('1970-01-01T00:00:00Z', {
    schedule: [
      { days: [1], from: '08:00', to: '09:00', upBytesPerSecond: 50_000, downBytesPerSecond: 60_000 },
    ],
  });
  assert.equal(uplink.up.bytesPerSecond, 50_000);
  assert.equal(uplink.view().caps.strictest, true);
  clock.learn(Date.parse('2026-06-02T08:30:00Z'));
  timers.run(1_000);
  assert.equal(uplink.up.bytesPerSecond, DEFAULT_HOUSEHOLD.uplink.upBytesPerSecond);
  await uplink.close();
});

test('paused: what waits ends at once, nothing new is taken, and after the hour it goes on', async () => {
  const { uplink, timers } = await start('2026-06-01T08:00:00Z', { upBytesPerSecond: 10_000 });
  const told: boolean[] = [];
  uplink.onAccepting((accepting) => told.push(accepting));
  const waits = uplink.up.take('a', 5_000);
  await uplink.pause(60);
  assert.equal(await waits, 0);
  assert.equal(uplink.accepting, false);
  assert.equal(uplink.down.take('a', 1), 0);
  const view = uplinkViewSchema.parse(uplink.view());
  assert.deepEqual([view.reason, view.pausedUntil], ['paused', '2026-06-01T09:00:00.000Z']);
  timers.run(HOUR_MS - 2_000);
  assert.equal(uplink.accepting, false);
  timers.run(4_000);
  assert.equal(uplink.accepting, true);
  assert.ok(uplink.up.take('a', 1) === 1);
  assert.deepEqual(told, [false, true]);
  await uplink.close();
});

test('a pause is over when the household says so, and cannot be asked for longer than a day', async () => {
  const { uplink } = await start('2026-06-01T08:00:00Z');
  await uplink.pause(60);
  await uplink.resume();
  assert.equal(uplink.accepting, true);
  for (const minutes of [0, 1441, 1.5, Number.NaN]) {
    await assert.rejects(uplink.pause(minutes), { code: 'bad_request' });
  }
  await uplink.close();
});

test('a pause survives a restart, for what is left of it', async () => {
  const first = await start('2026-06-01T08:00:00Z');
  await first.uplink.pause(60);
  await first.uplink.close();
  const second = await start('2026-06-01T08:20:00Z');
  assert.equal(second.uplink.accepting, false);
  second.timers.run(41 * 60_000);
  assert.equal(second.uplink.accepting, true);
  await second.uplink.close();
});

test('a clock put forward or back does not change how long a pause lasts', async () => {
  for (const jumpMs of [-400 * 24 * HOUR_MS, 3 * HOUR_MS]) {
    const { uplink, timers, wall } = await start('2026-06-01T08:00:00Z');
    await uplink.pause(60);
    wall.offsetMs += jumpMs;
    timers.run(59 * 60_000);
    assert.equal(uplink.accepting, false);
    timers.run(2 * 60_000);
    assert.equal(uplink.accepting, true);
    await uplink.close();
    await rm(path.join(folder, 'household.json'));
  }
});

test('after a restart with the clock years back a pause lasts a day at most, and the right time ends it', async () => {
  const first = await start('2026-06-01T08:00:00Z');
  await first.uplink.pause(60);
  await first.uplink.close();
  const unset = await start('1970-01-01T00:00:00Z');
  assert.equal(unset.uplink.accepting, false);
  unset.timers.run(60_000);
  unset.clock.learn(Date.parse('2026-06-01T09:30:00Z'));
  unset.timers.run(1_000);
  assert.equal(unset.uplink.accepting, true);
  await unset.uplink.close();
  const never = await start('1970-01-01T00:00:00Z');
  never.timers.run(23 * HOUR_MS);
  assert.equal(never.uplink.accepting, false);
  never.timers.run(1.1 * HOUR_MS);
  assert.equal(never.uplink.accepting, true);
  await never.uplink.close();
});

test('the month used up: new requests are not taken, and more quota opens the line again', async () => {
  const { uplink, household } = await start('2026-06-01T08:00:00Z', {
    upBytesPerSecond: null,
    monthlyBytes: 1_000,
  });
  assert.equal(uplink.up.take('a', 5_000), 1_000);
  assert.equal(uplink.accepting, false);
  assert.equal(uplink.view().reason, 'month_used_up');
  assert.equal(uplink.up.take('a', 1), 0);
  await household.change({ uplink: { ...household.now.uplink, monthlyBytes: 2_000 } });
  assert.equal(uplink.accepting, true);
  assert.equal(uplink.up.take('a', 5_000), 1_000);
  assert.equal(uplink.view().month.usedBytes, 2_000);
  await uplink.close();
});

test('rates and history are what went', async () => {
  const { uplink, timers, served } = await start('2026-06-01T08:00:00Z', { downBytesPerSecond: null });
  for (let second = 0; second < 20; second++) {
    void uplink.down.take('origin', 3_000);
    served.requests++;
    timers.run(1_000);
  }
  assert.equal(uplink.view().downBytesPerSecond, 3_000);
  const history = uplinkHistorySchema.parse(uplink.history());
  assert.deepEqual(history.hours, [{ hour: 8, upBytes: 0, downBytes: 60_000, requests: 20 }]);
  assert.deepEqual(history.days, [{ date: '2026-06-01', upBytes: 0, downBytes: 60_000, requests: 20 }]);
  await uplink.close();
});
