import assert from 'node:assert/strict';
import { once } from 'node:events';
import http, { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { Readable, Writable } from 'node:stream';
import { test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import { carry } from './carry.ts';

/** Takes at once what is written, or when it is told to. */
function receiver({ slow = false } = {}) {
  const calls: number[] = [];
  const taken: Buffer[] = [];
  const waiting: (() => void)[] = [];
  const to = new Writable({
    highWaterMark: 16 * 1024,
    writev: (chunks, done) => {
      calls.push(chunks.length);
      taken.push(...chunks.map(({ chunk }) => chunk as Buffer));
      if (slow) waiting.push(done);
      else done();
    },
  });
  return { to, calls, taken, takeNext: () => waiting.shift()?.() };
}

const turns = async (count: number) => {
  for (let n = 0; n < count; n++) await turn();
};

test('pieces of one moment are sent together and in order', async () => {
  const from = new Readable({ read() {} });
  const { to, calls, taken } = receiver();
  let bytes = 0;
  carry({ from, to, toll: null, onBytes: (count) => (bytes += count) });
  from.push(Buffer.from('a'));
  await turns(5);
  const pieces = ['b', 'c', 'd', 'e'].map((text) => Buffer.from(text));
  // As a socket hands on what was read in one turn.
  for (const piece of pieces) from.emit('data', piece);
  assert.equal(calls.length, 1);
  await turns(5);
  assert.deepEqual(calls, [1, 4]);
  assert.equal(Buffer.concat(taken).toString(), 'abcde');
  assert.equal(bytes, 5);
});

test('a receiver that takes nothing is not filled, whoever is to blame is told, and nothing is lost', async () => {
  const piece = Buffer.alloc(10_000, 1);
  const pieces = 100;
  const from = Readable.from(Array(pieces).fill(piece), { objectMode: true });
  const { to, taken, takeNext } = receiver({ slow: true });
  const waits: boolean[] = [];
  from.once('end', () => to.end());
  carry({ from, to, toll: null, onBytes: () => undefined, onWait: (now) => waits.push(now) });
  let most = 0;
  for (let n = 0; n < 1_000 && !to.writableFinished; n++) {
    await turns(20);
    most = Math.max(most, to.writableLength);
    takeNext();
  }
  assert.ok(to.writableFinished);
  assert.ok(most <= 100_000, `${most} bytes waited`);
  assert.equal(Buffer.concat(taken).length, pieces * piece.length);
  assert.deepEqual(new Set(waits), new Set([true, false]));
  for (const [n, now] of waits.entries()) assert.equal(now, n % 2 === 0);
});

test('what has to wait for its share is sent after it, and nothing after a receiver has ended or gone', async () => {
  const from = new Readable({ read() {} });
  const { to, taken } = receiver();
  const paid: ((may: boolean) => void)[] = [];
  const toll = {
    pay: (_bytes: number, done: (may: boolean) => void) => {
      paid.push(done);
      return () => undefined;
    },
  };
  carry({ from, to, toll, onBytes: () => undefined });
  from.push(Buffer.from('x'));
  from.push(Buffer.from('y'));
  await turns(5);
  assert.equal(taken.length, 0);
  paid.shift()?.(true);
  await turns(5);
  assert.equal(Buffer.concat(taken).toString(), 'x');
  to.on('error', assert.fail);
  paid.shift()?.(true);
  to.end();
  await turns(5);
  assert.equal(Buffer.concat(taken).toString(), 'xy');
  from.push(Buffer.from('z'));
  await turns(5);
  to.destroy();
  paid.shift()?.(true);
  await turns(5);
  assert.equal(Buffer.concat(taken).toString(), 'xy');
});

test('an answer of untold length that ends in the moment its last pieces come is whole', async (t) => {
  const server = createServer((_, response) => {
    const from = new Readable({ read() {} });
    carry({ from, to: response, toll: null, onBytes: () => undefined });
    from.once('end', () => response.end());
    for (const text of ['one ', 'two ', 'three']) from.push(text);
    from.push(null);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => server.close());
  const { port } = server.address() as AddressInfo;
  // The same connection twice: what comes behind the end would be the next answer.
  for (let n = 0; n < 2; n++) {
    const answer = await fetch(`http://127.0.0.1:${port}/`);
    assert.equal(answer.headers.get('transfer-encoding'), 'chunked');
    assert.equal(await answer.text(), 'one two three');
  }
});

test('an answer without a length arrives whole at a client that reads slowly', {
  timeout: 60_000,
}, async (t) => {
  const piece = Buffer.alloc(9_000, 1);
  const pieces = 3_000;
  const server = http.createServer((_, response) => {
    const from = Readable.from(Array(pieces).fill(piece), { objectMode: true });
    from.once('end', () => response.end());
    carry({ from, to: response, toll: null, onBytes: () => undefined });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  const { port } = server.address() as AddressInfo;
  const [answer] = (await once(http.get({ port, host: '127.0.0.1' }), 'response')) as [http.IncomingMessage];
  let bytes = 0;
  for await (const some of answer) {
    bytes += some.length;
    // Now and then it lets the kernel's buffers fill.
    if (Math.floor(bytes / 500_000) !== Math.floor((bytes - some.length) / 500_000)) await turns(30);
  }
  assert.equal(bytes, pieces * piece.length);
});
