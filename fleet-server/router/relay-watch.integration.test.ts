import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, type Server, type Socket } from 'node:net';
import { test } from 'node:test';
import { pino } from 'pino';
import { waitFor } from '#fleet/client/fleet-api.ts';
import { testPort } from '#test/support/system.ts';
import { RelayWatch } from './relay-watch.ts';

/** Takes connections and says nothing. */
async function listener(port: number) {
  const sockets = new Set<Socket>();
  let came = 0;
  const server: Server = createServer((socket) => {
    came++;
    sockets.add(socket);
    socket.on('error', () => undefined);
  });
  server.listen(port, '127.0.0.1');
  await once(server, 'listening');
  const cut = () => {
    for (const socket of sockets) socket.destroy();
    sockets.clear();
  };
  return {
    came: () => came,
    cut,
    async die() {
      server.close();
      cut();
      await once(server, 'close');
    },
  };
}

function watch(t: { after: (close: () => void) => void }) {
  const changes: [string, boolean][] = [];
  const relays = new RelayWatch({
    onChange: (url, up) => changes.push([url, up]),
    log: pino({ level: 'silent' }),
  });
  t.after(() => relays.close());
  return { relays, changes };
}

const until = (what: string, holds: () => boolean) =>
  waitFor(async () => holds() || null, `still not: ${what}`, { timeoutMs: 30_000 });

test('a relay that dies is found dead, and found again when it is back', async (t) => {
  const port = await testPort();
  const url = `http://127.0.0.1:${port}`;
  const first = await listener(port);
  const { relays, changes } = watch(t);
  relays.use([url]);
  await until('connected', () => first.came() === 1);
  assert.equal(relays.isUp(url), true);
  await first.die();
  await until('dead', () => !relays.isUp(url));
  const second = await listener(port);
  t.after(() => second.die());
  await until('back', () => relays.isUp(url));
  assert.deepEqual(changes, [
    [url, false],
    [url, true],
  ]);
});

test('one that ends connections that say nothing is not taken for dead', async (t) => {
  const port = await testPort();
  const relay = await listener(port);
  t.after(() => relay.die());
  const { relays, changes } = watch(t);
  relays.use([`http://127.0.0.1:${port}`]);
  for (let n = 1; n <= 3; n++) {
    await until(`connected ${n} times`, () => relay.came() === n);
    relay.cut();
  }
  await until('connected again', () => relay.came() === 4);
  assert.deepEqual(changes, []);
});

test('one that never could be reached from here, or is watched no more, is not called dead', async (t) => {
  const port = await testPort();
  const { relays, changes } = watch(t);
  const never = `http://127.0.0.1:${await testPort()}`;
  const url = `http://127.0.0.1:${port}`;
  const relay = await listener(port);
  relays.use([never, url]);
  await until('connected', () => relay.came() === 1);
  relays.use([never]);
  await relay.die();
  const other = await listener(port);
  t.after(() => other.die());
  relays.use([never, url]);
  await until('watched anew', () => other.came() === 1);
  assert.deepEqual(changes, []);
  assert.equal(relays.isUp(never), true);
});
