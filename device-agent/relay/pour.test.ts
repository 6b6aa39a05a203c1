import assert from 'node:assert/strict';
import { Readable, Writable } from 'node:stream';
import { test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import { pour, roomFor } from './pour.ts';

const PIECE_BYTES = 1000;
const ROOM_BYTES = 5000;

/** Takes a write only when it is told to. */
function slowReceiver() {
  const taken: Buffer[] = [];
  const waiting: (() => void)[] = [];
  const to = new Writable({
    highWaterMark: 100,
    writev: (chunks, done) => {
      taken.push(...chunks.map(({ chunk }) => chunk as Buffer));
      waiting.push(done);
    },
  });
  return { to, taken, takeNext: () => waiting.shift()?.() };
}

test('what waits fills the room and no more, goes on together, and all of it arrives in order and ends', async () => {
  const pieces = Array.from({ length: 40 }, (_, n) => Buffer.alloc(PIECE_BYTES, n));
  const from = Readable.from(pieces, { objectMode: true });
  const { to, taken, takeNext } = slowReceiver();
  pour(from, to, () => ROOM_BYTES);
  let most = 0;
  let calls = 0;
  while (!to.writableFinished) {
    for (let n = 0; n < 100; n++) await turn();
    most = Math.max(most, to.writableLength);
    takeNext();
    calls++;
    assert.ok(calls < 200, 'it does not come to an end');
  }
  assert.equal(most, ROOM_BYTES);
  assert.deepEqual(Buffer.concat(taken), Buffer.concat(pieces));
  assert.ok(calls < pieces.length, `${calls} calls for ${pieces.length} pieces`);
});

test('nothing is written to a receiver that is gone', async () => {
  const from = new Readable({ read() {} });
  const { to } = slowReceiver();
  to.on('error', assert.fail);
  pour(from, to, () => ROOM_BYTES);
  to.destroy();
  from.push(Buffer.alloc(10));
  from.push(null);
  for (let n = 0; n < 10; n++) await turn();
  assert.equal(to.writableLength, 0);
});

test('the more connections the less room for each, but always that of a piece', () => {
  assert.equal(roomFor(0), 256 * 1024);
  assert.equal(roomFor(16), 256 * 1024);
  assert.equal(roomFor(32), 128 * 1024);
  assert.equal(roomFor(10_000), 64 * 1024);
});
