import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FakeTimers } from '#shaping/fake-timers.ts';
import { Tolls } from './tolls.ts';

const PIECE = 16_000;

/** A client that has always one more piece to send. */
function greedy(tolls: Tolls, boxId: string, client: string): { bytes: number } {
  const got = { bytes: 0 };
  const toll = tolls.of(boxId, client);
  const next = (may: boolean): void => {
    if (!may) return;
    got.bytes += PIECE;
    while (toll?.pay(PIECE, next) === true) got.bytes += PIECE;
  };
  while (toll?.pay(PIECE, next) === true) got.bytes += PIECE;
  return got;
}

test('without bounds there is no toll', () => {
  assert.equal(new Tolls({ total: null, perBox: null }).of('box-a', '192.0.2.1'), null);
});

test('boxes have equal shares of the line, however many clients ask for them', () => {
  const timers = new FakeTimers();
  const tolls = new Tolls({ total: 1_000_000, perBox: null }, timers);
  const many = Array.from({ length: 20 }, (_, n) => greedy(tolls, 'box-a', `192.0.2.${n}`));
  const one = greedy(tolls, 'box-b', '198.51.100.1');
  timers.run(20_000);
  const ofA = many.reduce((sum, { bytes }) => sum + bytes, 0);
  const all = ofA + one.bytes;
  assert.ok(all > 19e6 && all < 21e6, `${all} bytes in 20 s at 1 MB/s`);
  assert.ok(one.bytes > 0.45 * all, `${one.bytes} of ${all}`);
});

test('within a box its clients have equal shares, and it keeps to its own bound', () => {
  const timers = new FakeTimers();
  const tolls = new Tolls({ total: 10_000_000, perBox: 500_000 }, timers);
  const crowd = Array.from({ length: 10 }, () => greedy(tolls, 'box-a', '192.0.2.1'));
  const alone = greedy(tolls, 'box-a', '198.51.100.1');
  const other = greedy(tolls, 'box-b', '198.51.100.1');
  timers.run(20_000);
  const ofA = crowd.reduce((sum, { bytes }) => sum + bytes, 0) + alone.bytes;
  assert.ok(ofA > 9.5e6 && ofA < 10.6e6, `${ofA} bytes in 20 s at 0.5 MB/s`);
  assert.ok(alone.bytes > 0.45 * ofA, `${alone.bytes} of ${ofA}`);
  assert.ok(other.bytes > 9.5e6 && other.bytes < 10.6e6, `${other.bytes}`);
});

test('who gives up while it waits holds nobody up; at the end all are told that nothing goes', () => {
  const timers = new FakeTimers();
  const tolls = new Tolls({ total: 100_000, perBox: 100_000 }, timers);
  const toll = tolls.of('box-a', '192.0.2.1');
  // More than what goes at once after a pause.
  const cancel = toll?.pay(200_000, () => assert.fail('it had given up'));
  assert.equal(typeof cancel, 'function');
  if (typeof cancel === 'function') cancel();
  const told: boolean[] = [];
  tolls.of('box-b', '192.0.2.2')?.pay(200_000, (may) => told.push(may));
  timers.run(5_000);
  assert.deepEqual(told, [true]);
  tolls.of('box-b', '192.0.2.2')?.pay(2_000_000, (may) => told.push(may));
  tolls.close();
  assert.deepEqual(told, [true, false]);
});

test('boxes that nobody asks for are forgotten', () => {
  const tolls = new Tolls({ total: null, perBox: 1_000 }, new FakeTimers());
  for (let n = 0; n < 30_000; n++) tolls.of(`box-${n}`, '192.0.2.1');
  assert.ok(tolls.boxes <= 20_000, String(tolls.boxes));
});
