import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import net from 'node:net';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { waitFor } from '#fleet/client/fleet-api.ts';
import { relayedContentUrl } from '#protocol/relay.ts';
import { relayRig } from './fixture.ts';

const STREAMS = 1000;
const BOXES = 5;
/** Clients of one address are bounded. */
const ADDRESSES = 10;
const MOST_RSS_BYTES = 200e6;

test('a thousand clients that do not read: the relay holds little for each, and serves the next one', {
  skip: process.platform === 'linux' ? false : 'needs Linux (/proc)',
}, async (t) => {
  const rig = await relayRig(t);
  const relay = await rig.relayProcess();
  const piece = Buffer.alloc(256 * 1024, 7);
  const boxes = await Promise.all(
    Array.from({ length: BOXES }, () =>
      rig.box({
        onRequest: (stream, headers) => {
          stream.respond({ ':status': 200 });
          if (headers[':path'] === '/short') return stream.end('here');
          const more = () => {
            while (!stream.destroyed && stream.write(piece));
          };
          stream.on('drain', more);
          more();
        },
      }),
    ),
  );
  for (const box of boxes) box.tunnels.use([relay.tunnelUrl]);
  await waitFor(
    async () => (await rig.database.query('SELECT 1 FROM relay_tunnels')).length === BOXES || null,
    'not all boxes are connected',
    { timeoutMs: 30_000 },
  );
  const { hostname, port } = new URL(relay.publicUrl);
  const idleBytes = rssOf(relay.pid);
  let answered = 0;
  const clients = Array.from({ length: STREAMS }, (_, n) => {
    const box = boxes[n % BOXES];
    const socket = net.connect({
      host: hostname,
      port: Number(port),
      localAddress: `127.0.1.${(n % ADDRESSES) + 1}`,
    });
    socket.on('error', () => undefined);
    socket.write(`GET /b/${box?.id}/long HTTP/1.1\r\nhost: relay\r\n\r\n`);
    socket.once('data', (head) => {
      if (head.toString('latin1').startsWith('HTTP/1.1 200')) answered++;
      // From here on it does not read.
      socket.pause();
    });
    return socket;
  });
  t.after(() => {
    for (const client of clients) client.destroy();
  });
  await waitFor(
    async () => answered === STREAMS || null,
    () => `${answered} were answered`,
    { timeoutMs: 60_000 },
  );
  // Until everything that fits has come.
  let most = 0;
  for (let n = 0; n < 20; n++) {
    most = Math.max(most, rssOf(relay.pid));
    await sleep(200);
  }
  t.diagnostic(
    `${STREAMS} stalled streams: ${(idleBytes / 1e6).toFixed(0)} MB idle, then ${(most / 1e6).toFixed(0)} MB RSS`,
  );
  assert.ok(most < MOST_RSS_BYTES, `${(most / 1e6).toFixed(0)} MB`);
  const answer = await fetch(`${relayedContentUrl(relay.publicUrl, boxes[0]?.id ?? '')}/short`);
  assert.equal(await answer.text(), 'here');
});

function rssOf(pid: number): number {
  const kilobytes = /^VmRSS:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1];
  return Number(kilobytes) * 1024;
}
