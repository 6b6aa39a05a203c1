import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { FakeTimers } from './fake-timers.ts';
import { flowOfAddress, LATER, Shaper } from './shaper.ts';

const WINDOW_MS = 10_000;

interface Grant {
  atMs: number;
  flow: string;
  bytes: number;
}

/** Connections that ask again as soon as (or some time after) they were given something, for ever. */
function crowd(
  shaper: Shaper,
  timers: FakeTimers,
  connections: { flow: string; sliceBytes: number; gapMs: number; pauseMs?: number }[],
): Grant[] {
  const grants: Grant[] = [];
  for (const { flow, sliceBytes, gapMs, pauseMs } of connections) {
    let slices = 0;
    const ask = () => {
      const granted = (bytes: number) => {
        if (bytes === 0) return;
        grants.push({ atMs: timers.now(), flow, bytes });
        timers.after(pauseMs && ++slices % 20 === 0 ? pauseMs : gapMs, ask);
      };
      const now = shaper.ask(flow, sliceBytes, granted);
      if (typeof now === 'number') granted(now);
    };
    ask();
  }
  return grants;
}

/** The most bytes in any window of that length. */
function mostInWindow(grants: Grant[], windowMs: number): number {
  let most = 0;
  let bytes = 0;
  let oldest = 0;
  for (const grant of grants) {
    bytes += grant.bytes;
    for (let first = grants[oldest]; first && first.atMs <= grant.atMs - windowMs; first = grants[oldest]) {
      bytes -= first.bytes;
      oldest++;
    }
    most = Math.max(most, bytes);
  }
  return most;
}

function bytesOf(grants: Grant[], flow: string, fromMs = 0): number {
  return grants
    .filter((grant) => grant.flow === flow && grant.atMs >= fromMs)
    .reduce((sum, grant) => sum + grant.bytes, 0);
}

const connection = fc.record({
  flow: fc.constantFrom('a', 'b', 'c', 'd'),
  sliceBytes: fc.integer({ min: 1, max: 300_000 }),
  gapMs: fc.integer({ min: 1, max: 40 }),
});

test('no window of ten seconds sees more than the cap and 5 %, whoever asks for how much', () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 8 * 1024, max: 5_000_000 }),
      fc.array(connection, { minLength: 1, maxLength: 12 }),
      (rate, connections) => {
        const timers = new FakeTimers();
        const shaper = new Shaper(timers);
        shaper.setRate(rate);
        timers.run(3_000);
        const grants = crowd(shaper, timers, connections);
        timers.run(25_000);
        assert.ok(mostInWindow(grants, WINDOW_MS) <= rate * 10 * 1.05);
      },
    ),
    { numRuns: 40 },
  );
});

test('the cap is used: what is asked for all the time gets 95 % of it at least', () => {
  for (const rate of [8 * 1024, 100_000, 1_250_000, 12_500_000]) {
    const timers = new FakeTimers();
    const shaper = new Shaper(timers);
    shaper.setRate(rate);
    const grants = crowd(shaper, timers, [{ flow: 'a', sliceBytes: 256 * 1024, gapMs: 1 }]);
    timers.run(20_000);
    const bytes = bytesOf(grants, 'a', 10_000);
    assert.ok(bytes >= rate * 10 * 0.95, `${bytes} of ${rate * 10}`);
  }
});

test('a client with fifty connections gets no more than one with a single one', () => {
  for (const rate of [50_000, 1_250_000, 12_500_000]) {
    const timers = new FakeTimers();
    const shaper = new Shaper(timers);
    shaper.setRate(rate);
    const many = Array.from({ length: 50 }, () => ({ flow: 'many', sliceBytes: 64 * 1024, gapMs: 1 }));
    const grants = crowd(shaper, timers, [...many, { flow: 'one', sliceBytes: 64 * 1024, gapMs: 8 }]);
    timers.run(30_000);
    const one = bytesOf(grants, 'one', 10_000);
    const others = bytesOf(grants, 'many', 10_000);
    assert.ok(Math.abs(one - others) < (one + others) * 0.05, `${rate}: ${one} beside ${others}`);
  }
});

test('a client that is away for a moment finds its missed share again', () => {
  const timers = new FakeTimers();
  const shaper = new Shaper(timers);
  shaper.setRate(1_250_000);
  const many = Array.from({ length: 50 }, () => ({ flow: 'many', sliceBytes: 4_000, gapMs: 1 }));
  const one = { flow: 'one', sliceBytes: 16_000, gapMs: 1, pauseMs: 200 };
  const grants = crowd(shaper, timers, [...many, one]);
  timers.run(30_000);
  const [got, others] = [bytesOf(grants, 'one'), bytesOf(grants, 'many')];
  assert.ok(Math.abs(got - others) < (got + others) * 0.05, `${got} beside ${others}`);
});

test('of a thousand clients each has its turn within seconds, and equal parts', () => {
  const timers = new FakeTimers();
  const shaper = new Shaper(timers);
  shaper.setRate(1_250_000);
  const clients = Array.from({ length: 1000 }, (_, n) => ({
    flow: `c${n}`,
    sliceBytes: 16 * 1024,
    gapMs: 2,
  }));
  const grants = crowd(shaper, timers, clients);
  timers.run(20_000);
  const last = new Map<string, number>();
  let longestMs = 0;
  for (const { flow, atMs } of grants) {
    longestMs = Math.max(longestMs, atMs - (last.get(flow) ?? 0));
    last.set(flow, atMs);
  }
  assert.equal(last.size, 1000);
  assert.ok(longestMs < 5_000, `one waited ${longestMs} ms`);
  const shares = clients.map(({ flow }) => bytesOf(grants, flow));
  assert.ok(Math.max(...shares) <= Math.min(...shares) * 1.2);
});

test('another cap holds at once, for those that wait as well', () => {
  const timers = new FakeTimers();
  const shaper = new Shaper(timers);
  shaper.setRate(1_000_000);
  const grants = crowd(shaper, timers, [
    { flow: 'a', sliceBytes: 64 * 1024, gapMs: 1 },
    { flow: 'b', sliceBytes: 64 * 1024, gapMs: 1 },
  ]);
  timers.run(10_000);
  shaper.setRate(20_000);
  timers.run(10_000);
  const slow = grants.filter((grant) => grant.atMs > 10_000);
  assert.ok(mostInWindow(slow, WINDOW_MS) <= 20_000 * 10 * 1.05);
  shaper.setRate(null);
  assert.equal(shaper.waiters, 0);
  assert.ok(grants.at(-1)?.atMs === 20_000);
});

test('without a cap everything asked for is granted at once, as a number', () => {
  const shaper = new Shaper(new FakeTimers());
  assert.equal(shaper.take('a', 10_000_000), 10_000_000);
  assert.equal(shaper.takenBytes, 10_000_000);
});

test('one who leaves waits no more: nothing is granted to nobody, and no timer stays', async () => {
  const timers = new FakeTimers();
  const shaper = new Shaper(timers);
  shaper.setRate(10_000);
  const abort = new AbortController();
  const waits = shaper.take('a', 5_000, abort.signal);
  assert.ok(waits instanceof Promise);
  assert.equal(shaper.waiters, 1);
  abort.abort();
  assert.equal(await waits, 0);
  assert.equal(shaper.waiters, 0);
  assert.equal(timers.pending, 0);
  const cancel = shaper.ask('a', 5_000, () => assert.fail('granted after it was cancelled'));
  assert.ok(typeof cancel === 'function');
  cancel();
  timers.run(5_000);
  assert.equal(shaper.takenBytes, 0);
});

test('what was granted and did not go is there for others', () => {
  const timers = new FakeTimers();
  const shaper = new Shaper(timers);
  shaper.setRate(100_000);
  timers.run(1_000);
  assert.equal(shaper.take('a', 20_000), 20_000);
  shaper.giveBack(20_000);
  assert.equal(shaper.takenBytes, 0);
  assert.equal(shaper.take('b', 25_000), 25_000);
});

test('heads that went unasked are made up for, and a flood of them holds nobody up for long', () => {
  const timers = new FakeTimers();
  const shaper = new Shaper(timers);
  shaper.setRate(100_000);
  for (let n = 0; n < 10_000; n++) shaper.spend(400);
  const grants = crowd(shaper, timers, [{ flow: 'a', sliceBytes: 1_000, gapMs: 1 }]);
  timers.run(1_900);
  assert.equal(grants.length, 0);
  timers.run(200);
  assert.ok(grants.length > 0);
});

test('closed: those that wait are told, and nobody is granted anything', async () => {
  const timers = new FakeTimers();
  const shaper = new Shaper(timers);
  shaper.setRate(10_000);
  const waits = shaper.take('a', 5_000);
  shaper.setOpen(false);
  assert.equal(await waits, 0);
  assert.equal(shaper.take('a', 1), 0);
  shaper.setOpen(true);
  timers.run(1_000);
  assert.equal(shaper.take('a', 100), 100);
});

test('waiters are bounded', () => {
  const timers = new FakeTimers();
  const shaper = new Shaper(timers);
  shaper.setRate(8 * 1024);
  let refused = 0;
  for (let n = 0; n < 10_000; n++) if (shaper.ask(`f${n}`, 1_000, () => undefined) === 0) refused++;
  assert.equal(shaper.waiters, 8_192);
  assert.equal(refused, 10_000 - 8_192);
});

test('a budget stands above the rate: it may hold everything back, bound a grant, and end it all', () => {
  const timers = new FakeTimers();
  let answer = LATER;
  const shaper = new Shaper(timers, {
    take: (bytes) => Math.min(answer, bytes),
    force: () => undefined,
    giveBack: () => undefined,
  });
  const got: number[] = [];
  const cancel = shaper.ask('a', 1_000, (bytes) => got.push(bytes));
  assert.ok(typeof cancel === 'function');
  timers.run(1_000);
  assert.deepEqual(got, []);
  answer = 600;
  shaper.wake();
  assert.deepEqual(got, [600]);
  answer = 0;
  assert.equal(shaper.take('a', 1_000), 0);
});

test('IPv6 clients count by /64, mapped IPv4 ones as what they are', () => {
  assert.equal(flowOfAddress('2001:db8:1:2:3:4:5:6'), '2001:db8:1:2::/64');
  assert.equal(flowOfAddress('2001:db8:1:2::9'), '2001:db8:1:2::/64');
  assert.equal(flowOfAddress('fe80::1%eth0'), 'fe80:0:0:0::/64');
  assert.equal(flowOfAddress('::ffff:192.0.2.7'), '192.0.2.7');
  assert.equal(flowOfAddress('192.0.2.7'), '192.0.2.7');
  assert.equal(flowOfAddress('::1'), '0:0:0:0::/64');
  assert.equal(flowOfAddress(undefined), '');
});
