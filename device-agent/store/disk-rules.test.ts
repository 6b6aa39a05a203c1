import assert from 'node:assert/strict';
import { test } from 'node:test';
import { DiskHealth } from './disk-health.ts';
import type { IoSample } from './disk-latency.ts';
import { DiskLatency } from './disk-latency.ts';
import { capacityBytes, roomBytes } from './disk-room.ts';

const usage = { totalBytes: 1000, freeBytes: 400 };

test('room: the floor is left free and the quota kept, whichever ends first', () => {
  const none = { floorBytes: 50, quota: null };
  assert.equal(roomBytes(none, usage, 100), 350);
  assert.equal(capacityBytes(none, usage, 100), 450);
  const bytes = { floorBytes: 50, quota: { unit: 'bytes' as const, value: 300 } };
  assert.equal(roomBytes(bytes, usage, 100), 200);
  assert.equal(capacityBytes(bytes, usage, 100), 300);
  const percent = { floorBytes: 50, quota: { unit: 'percent' as const, value: 25 } };
  assert.equal(roomBytes(percent, usage, 100), 150);
  assert.equal(roomBytes(percent, usage, 260), 0, 'a quota made smaller gives no negative room');
  assert.equal(roomBytes({ ...percent, floorBytes: 390 }, usage, 100), 10);
  assert.equal(roomBytes({ ...none, floorBytes: 500 }, usage, 100), 0);
});

test('health: one bad object is the object, several are the disk, and each time it is left alone for longer', () => {
  const health = new DiskHealth(1000);
  assert.equal(health.note('a', 0), false);
  assert.equal(health.note('a', 10), false);
  assert.equal(health.note('a', 20), false);
  assert.equal(health.note('b', 30), false);
  assert.equal(health.note('c', 40), true);
  assert.equal(health.mayProbe(1039), false);
  assert.equal(health.mayProbe(1040), true);
  health.stillBad(1040);
  assert.equal(health.mayProbe(3039), false);
  assert.equal(health.mayProbe(3040), true);
  health.recovered();
  assert.equal(health.quarantined, false);
  for (const [index, name] of ['d', 'e', 'f'].entries()) health.note(name, 4000 + index);
  assert.equal(health.mayProbe(4002 + 3999), false, 'the fourth time is longer than the first');
  health.reset();
  assert.equal(health.quarantined, false);
});

test('health: errors far apart are forgotten', () => {
  const health = new DiskHealth(1000);
  for (const [index, name] of ['a', 'b', 'c', 'd'].entries()) {
    assert.equal(health.note(name, index * 400_000), false, name);
  }
});

function samples(...list: Partial<IoSample>[]): DiskLatency {
  const latency = new DiskLatency();
  for (const one of list) {
    latency.add('8:1', { atMs: 0, reads: 0, readMs: 0, writes: 0, writeMs: 0, inFlight: 0, ...one });
  }
  return latency;
}

test('latency: slow is what takes long on average over the window, not one that did', () => {
  assert.equal(samples({}, { atMs: 3000, reads: 100, readMs: 9_000 }).complaint, null);
  assert.match(
    samples({}, { atMs: 3000, reads: 100, readMs: 60_000 }).complaint ?? '',
    /a read takes 600 ms/,
  );
  assert.equal(samples({}, { atMs: 3000, reads: 2, readMs: 60_000 }).complaint, null);
  assert.match(
    samples({}, { atMs: 3000, writes: 10, writeMs: 60_000 }).complaint ?? '',
    /a write takes 6000 ms/,
  );
});

test('latency: it is no longer slow when the window holds nothing slow', () => {
  const latency = samples({}, { atMs: 3000, reads: 100, readMs: 60_000 });
  const quick = { reads: 200, readMs: 60_500, writes: 0, writeMs: 0, inFlight: 0 };
  latency.add('8:1', { ...quick, atMs: 10_000 });
  assert.equal(latency.complaint, null, 'on average');
  const other = samples({}, { atMs: 3000, reads: 100, readMs: 600_000 });
  for (let atMs = 6_000; atMs <= 30_000; atMs += 3_000) {
    other.add('8:1', { ...quick, atMs, reads: 100 + atMs / 1000, readMs: 600_000 + atMs / 1000 });
  }
  assert.notEqual(other.complaint, null);
  other.add('8:1', { ...quick, atMs: 33_000, reads: 200, readMs: 600_100 });
  assert.equal(other.complaint, null, 'what was slow is out of the window');
});

test('latency: a request under way with none finished; another device begins afresh', () => {
  const latency = samples(
    { reads: 5 },
    { atMs: 3000, reads: 5, inFlight: 1 },
    { atMs: 9000, reads: 5, inFlight: 1 },
  );
  assert.match(latency.complaint ?? '', /under way for 9 s/);
  latency.add('8:17', { atMs: 9500, reads: 5, readMs: 0, writes: 0, writeMs: 0, inFlight: 1 });
  assert.equal(latency.complaint, null);
});

test('latency: a device that finishes requests is alive, however long a look waits; one without figures is not known to be', () => {
  const idle: IoSample = { atMs: 20_000, reads: 5, readMs: 0, writes: 7, writeMs: 0, inFlight: 1 };
  const latency = samples({ reads: 5, writes: 7 });
  assert.equal(latency.hasMoved(idle), false);
  assert.equal(latency.hasMoved({ ...idle, writes: 8 }), true);
  assert.equal(latency.hasMoved({ ...idle, reads: 6 }), true);
  assert.equal(latency.hasMoved(null), false);
  assert.equal(new DiskLatency().hasMoved(idle), false);
});
