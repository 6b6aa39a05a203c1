import assert from 'node:assert/strict';
import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, test } from 'node:test';
import { LATER } from '#shaping/shaper.ts';
import { WallClock } from './schedule.ts';
import type { UsageParts } from './usage.ts';
import { Usage } from './usage.ts';

const MIB = 1024 * 1024;
let folder = '';
let file = '';
beforeEach(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'hearth-usage-'));
  file = path.join(folder, 'uplink.json');
});
afterEach(() => rm(folder, { recursive: true, force: true }));

/** A world to count in; its fields may be changed at any time. */
function world(instant: string | null, monthlyBytes: number | null) {
  const wall = new WallClock('Europe/Berlin');
  const state = { instant, monthlyBytes, sure: true, nowMs: 0, troubles: 0, rooms: 0 };
  const parts: UsageParts = {
    wall: () => (state.instant === null ? null : wall.at(Date.parse(state.instant))),
    timeIsSure: () => state.sure && state.instant !== null,
    monthlyBytes: () => state.monthlyBytes,
    now: () => state.nowMs,
    onRoom: () => state.rooms++,
    onTrouble: () => state.troubles++,
  };
  return { state, parts };
}

const MARCH = '2026-03-15T12:00:00Z';

test('the quota is the last byte, both ways together; raised, it goes on', async () => {
  const { state, parts } = world(MARCH, 100 * MIB);
  const usage = new Usage(parts);
  await usage.useFile(file);
  assert.equal(usage.up.take(10 * MIB), 10 * MIB);
  assert.equal(usage.down.take(5 * MIB), 5 * MIB);
  state.monthlyBytes = 15 * MIB + 7;
  usage.settingsChanged();
  await until(() => usage.up.take(1) === 1);
  assert.equal(usage.up.take(100), 6);
  assert.equal(usage.up.take(1), 0);
  assert.equal(usage.down.take(1), 0);
  assert.equal(usage.usedUp, true);
  state.monthlyBytes = null;
  usage.settingsChanged();
  assert.equal(usage.up.take(1), 1);
  await usage.close();
});

test('bytes go only once the disk has a reservation for them', async () => {
  const { parts, state } = world(MARCH, 500 * MIB);
  const usage = new Usage(parts);
  await usage.useFile(file);
  const rooms = state.rooms;
  let taken = 0;
  for (;;) {
    const got = usage.up.take(MIB);
    if (got === LATER) break;
    taken += got;
  }
  // 16 MiB is the least reservation. Half way the next was begun, and could not end within this turn.
  assert.equal(taken, 16 * MIB);
  await until(() => usage.up.take(MIB) === MIB);
  assert.ok(state.rooms > rooms, 'those that waited are told');
  await usage.close();
});

test('a proper end leaves the exact count, a crash one that is never too small', async () => {
  const first = new Usage(world(MARCH, 500 * MIB).parts);
  await first.useFile(file);
  first.up.take(3 * MIB);
  first.addRequests(1);
  await first.close();
  const second = new Usage(world(MARCH, 500 * MIB).parts);
  await second.useFile(file);
  assert.deepEqual(second.month(), {
    month: '2026-03',
    upBytes: 3 * MIB,
    downBytes: 0,
    unsureBytes: 0,
    usedBytes: 3 * MIB,
  });
  second.down.take(9 * MIB);
  // No close: the power went.
  const third = new Usage(world(MARCH, 500 * MIB).parts);
  await third.useFile(file);
  const { usedBytes } = third.month();
  assert.ok(usedBytes >= 12 * MIB, `${usedBytes} counted, ${12 * MIB} used`);
  assert.ok(usedBytes <= 12 * MIB + 16 * MIB);
  assert.deepEqual(third.history().days, [{ date: '2026-03-15', up: 3 * MIB, down: 0, requests: 1 }]);
  await third.close();
});

test('a new month begins at midnight on the wall, with a whole quota', async () => {
  const { state, parts } = world('2026-03-31T21:59:00Z', 20 * MIB);
  const usage = new Usage(parts);
  await usage.useFile(file);
  let left = 20 * MIB;
  await until(() => {
    const got = usage.up.take(left);
    if (got > 0) left -= got;
    return usage.usedUp;
  });
  assert.equal(usage.up.take(1), 0);
  // What was counted in the second in which the month turns belongs to the new one.
  usage.tick();
  state.instant = '2026-03-31T22:00:00Z';
  usage.tick();
  await until(() => usage.up.take(1) === 1);
  assert.equal(usage.month().month, '2026-04');
  assert.equal(usage.month().usedBytes, 1);
  assert.deepEqual(
    usage.history().days.map((day) => day.date),
    ['2026-03-31', '2026-04-01'],
  );
  await usage.close();
});

test('while the time is not known the last month known goes on; what was counted is not forgotten', async () => {
  const past = new Usage(world(MARCH, 500 * MIB).parts);
  await past.useFile(file);
  past.up.take(10 * MIB);
  await past.close();
  const { state, parts } = world(null, 11 * MIB);
  const usage = new Usage(parts);
  usage.up.take(1);
  await usage.useFile(file);
  assert.equal(usage.month().usedBytes, 10 * MIB + 1);
  await until(() => usage.up.take(100) === 100);
  state.instant = '2026-05-02T00:00:00Z';
  usage.tick();
  assert.equal(usage.month().month, '2026-05');
  assert.equal(usage.month().usedBytes, 101);
  await usage.close();
});

test('a clock that was wrong until the fleet told the time takes nothing out of the right month', async () => {
  const { state, parts } = world('2025-06-01T00:00:00Z', null);
  state.sure = false;
  const usage = new Usage(parts);
  usage.up.take(5_000);
  usage.tick();
  state.instant = MARCH;
  state.sure = true;
  usage.tick();
  assert.equal(usage.month().month, '2026-03');
  assert.equal(usage.month().usedBytes, 5_000);
});

test('a disk that takes no writes holds nobody up, and counts go on in memory', async () => {
  const { state, parts } = world(MARCH, 500 * MIB);
  const usage = new Usage(parts);
  await usage.useFile(path.join(folder, 'no', 'such', 'folder', 'uplink.json'));
  assert.ok(state.troubles > 0);
  assert.equal(usage.up.take(100 * MIB), 100 * MIB);
  await usage.useFile(null);
  assert.equal(usage.up.take(100 * MIB), 100 * MIB);
  await usage.useFile(file);
  assert.equal(usage.month().usedBytes, 200 * MIB);
  await usage.close();
  const next = new Usage(world(MARCH, 500 * MIB).parts);
  await next.useFile(file);
  assert.equal(next.month().usedBytes, 200 * MIB);
  await next.close();
});

test('the disk goes and comes back: its own count is not added to itself', async () => {
  const { parts } = world(MARCH, null);
  const usage = new Usage(parts);
  await usage.useFile(file);
  usage.up.take(1_000);
  usage.settingsChanged();
  await usage.useFile(null);
  usage.up.take(1_000);
  await usage.useFile(file);
  assert.equal(usage.month().usedBytes, 2_000);
  await usage.close();
});

test('rubbish in the file, or a link in its place, is neither followed nor fatal', async () => {
  await writeFile(file, '{"v":1,"session":"x","current":"2026-03","reserve":-5}');
  const { parts } = world(MARCH, null);
  const usage = new Usage(parts);
  await usage.useFile(file);
  assert.equal(usage.month().usedBytes, 0);
  await usage.close();
});

test('charts: hours of today and days, bounded; what was given back is not counted', async () => {
  const { state, parts } = world('2026-01-01T00:00:00Z', null);
  const usage = new Usage(parts);
  const beginMs = Date.parse('2026-01-01T00:00:00Z');
  for (let hour = 0; hour < 24 * 40; hour++) {
    state.instant = new Date(beginMs + hour * 3_600_000).toISOString();
    usage.up.take(1_000);
    usage.up.giveBack(400);
    usage.addRequests(1);
    usage.tick();
  }
  const { hours, days } = usage.history();
  assert.equal(days.length, 31);
  assert.deepEqual(days.at(-2), { date: '2026-02-09', up: 600 * 24, down: 0, requests: 24 });
  assert.deepEqual(hours, [{ hour: 0, up: 600, down: 0, requests: 1 }]);
  assert.deepEqual(usage.today(), { bytes: 600, requests: 1 });
});

test('today begins at midnight where the household lives, and goes on after a restart', async () => {
  const { state, parts } = world('2026-06-01T21:59:00Z', null);
  const usage = new Usage(parts);
  await usage.useFile(file);
  usage.up.take(1_000);
  usage.addRequests(3);
  assert.deepEqual(usage.today(), { bytes: 1_000, requests: 3 });
  state.instant = '2026-06-01T22:01:00Z';
  assert.deepEqual(usage.today(), { bytes: 0, requests: 0 }, 'midnight in Berlin');
  usage.up.take(70);
  usage.down.take(5);
  usage.addRequests(1);
  await usage.close();
  const again = new Usage(parts);
  await again.useFile(file);
  assert.deepEqual(again.today(), { bytes: 70, requests: 1 });
  state.instant = null;
  assert.equal(again.today(), null);
  await again.close();
});

test('it is written rarely', async () => {
  const { state, parts } = world(MARCH, null);
  const usage = new Usage(parts);
  await usage.useFile(file);
  await rm(file);
  for (let second = 0; second < 599; second++) {
    state.nowMs = second * 1_000;
    usage.up.take(10_000_000);
    usage.tick();
  }
  assert.deepEqual(await readdir(folder), []);
  state.nowMs = 600_000;
  usage.tick();
  await usage.close();
  assert.deepEqual(await readdir(folder), ['uplink.json']);
});

async function until(done: () => boolean): Promise<void> {
  const deadline = Date.now() + 20_000;
  while (!done()) {
    assert.ok(Date.now() < deadline, 'it did not come about');
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}
