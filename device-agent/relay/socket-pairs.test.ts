import assert from 'node:assert/strict';
import { once } from 'node:events';
import net from 'node:net';
import { test } from 'node:test';
import { SocketPairs } from './socket-pairs.ts';

test('what is written at one end is read at the other, of many pairs made at once', async (t) => {
  const pairs = new SocketPairs();
  t.after(() => pairs.close());
  const made = await Promise.all(Array.from({ length: 50 }, () => pairs.make()));
  await Promise.all(
    made.map(async ({ near, far }, n) => {
      near.end(`near ${n}`);
      far.resume();
      const [piece] = await once(far, 'data');
      assert.equal(String(piece), `near ${n}`);
      far.destroy();
    }),
  );
});

test('a stranger on this machine gets no end of a pair', async (t) => {
  const pairs = new SocketPairs();
  t.after(() => pairs.close());
  const { near, far } = await pairs.make();
  const stranger = net.connect({ port: near.remotePort ?? 0, host: '127.0.0.1' });
  stranger.on('error', () => undefined);
  await once(stranger, 'connect');
  stranger.write('let me in');
  const next = await pairs.make();
  assert.notEqual(next.far.remotePort, stranger.localPort);
  for (const socket of [near, far, next.near, next.far]) socket.destroy();
  stranger.resume();
  await new Promise((resolve) => stranger.once('close', resolve));
});
