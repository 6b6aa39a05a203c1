import assert from 'node:assert/strict';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import type { TLSSocket } from 'node:tls';
import { dialFleet, hostAndPort } from '#agent/link/dial.ts';
import { waitFor } from '#fleet/client/fleet-api.ts';
import { RELAY_ALPN, relayedContentUrl } from '#protocol/relay.ts';
import type { RelayRig, RigBox } from './fixture.ts';
import { relayRig } from './fixture.ts';

/** Frames of HTTP/2 (RFC 9113 section 4.1), written by hand: what no library would send. */
const frame = (type: number, flags: number, stream: number, payload: Buffer) => {
  const head = Buffer.alloc(9);
  head.writeUIntBE(payload.length, 0, 3);
  head.writeUInt8(type, 3);
  head.writeUInt8(flags, 4);
  head.writeUInt32BE(stream, 5);
  return Buffer.concat([head, payload]);
};
const SETTINGS = frame(4, 0, 0, Buffer.alloc(0));
const FLOODS = {
  pings: frame(6, 0, 0, Buffer.alloc(8)),
  settings: SETTINGS,
  'answers nobody asked for': frame(1, 4, 1, Buffer.from([0x88])),
  'data beyond every window': frame(0, 0, 1, Buffer.alloc(16_384)),
  'window updates': frame(8, 0, 0, Buffer.from([0, 0, 0, 1])),
  'pushed requests': frame(5, 4, 1, Buffer.from([0, 0, 0, 2, 0x82])),
};
const FLOOD_BYTES = 16_000_000;
/** What a relay may grow by while it is flooded; it stands at some 120 MB. */
const MOST_GROWTH_BYTES = 120e6;

/** A box that knows how to dial, and has a client of its own for what goes over it. */
async function dial(rig: RelayRig, box: RigBox, url: string): Promise<TLSSocket> {
  const { certificate, privateKey } = box.identity;
  return dialFleet(
    {
      peer: 'relay',
      ...hostAndPort(url, 0),
      protocol: RELAY_ALPN,
      caCertificate: rig.keys.ca.certificatePem,
      certificate,
      privateKey,
      nowMs: Date.now(),
      timeoutMs: 30_000,
    },
    AbortSignal.timeout(30_000),
  );
}

test('boxes that flood a relay cost it little memory, and other boxes are served meanwhile', {
  skip: process.platform === 'linux' ? false : 'needs Linux (/proc)',
}, async (t) => {
  const rig = await relayRig(t);
  const relay = await rig.relayProcess();
  const good = await rig.box({
    onRequest: (stream) => {
      stream.respond({ ':status': 200 });
      stream.end('here');
    },
  });
  good.tunnels.use([relay.tunnelUrl]);
  await waitFor(
    async () => (await rig.database.query('SELECT 1 FROM relay_tunnels')).length === 1 || null,
    'the good box is not connected',
    { timeoutMs: 30_000 },
  );
  const url = `${relayedContentUrl(relay.publicUrl, good.id)}/c/x`;
  const idleBytes = rssOf(relay.pid);
  let most = 0;
  const watch = setInterval(() => {
    most = Math.max(most, rssOf(relay.pid));
  }, 50);
  try {
    for (const [what, bytes] of Object.entries(FLOODS)) {
      const hostile = await rig.box();
      const socket = await dial(rig, hostile, relay.tunnelUrl);
      socket.on('error', () => undefined);
      const ended = new Promise<void>((resolve) => socket.once('close', () => resolve()));
      socket.write(SETTINGS);
      // It reads nothing, so that what the relay has to answer piles up there.
      const block = Buffer.concat(Array.from({ length: Math.ceil(65_536 / bytes.length) }, () => bytes));
      const flood = async () => {
        for (let sent = 0; sent < FLOOD_BYTES && !socket.destroyed; sent += block.length) {
          if (!socket.write(block))
            await Promise.race([once(socket, 'drain').catch(() => null), ended, sleep(2_000)]);
        }
      };
      const flooding = flood();
      for (let n = 0; n < 5; n++) {
        const answer = await fetch(url, { signal: AbortSignal.timeout(20_000) });
        assert.equal(await answer.text(), 'here', what);
      }
      await flooding;
      socket.destroy();
    }
  } finally {
    clearInterval(watch);
  }
  t.diagnostic(`${(idleBytes / 1e6).toFixed(0)} MB idle, ${(most / 1e6).toFixed(0)} MB at most`);
  assert.ok(most - idleBytes < MOST_GROWTH_BYTES, `${((most - idleBytes) / 1e6).toFixed(0)} MB more`);
});

test('a box that dials without end is turned away, and its one connection of before stays', async (t) => {
  const rig = await relayRig(t);
  const relay = await rig.relay();
  const box = await rig.box();
  let admitted = 0;
  for (let n = 0; n < 60; n++) {
    const socket = await dial(rig, box, relay.urls.tunnelUrl).catch(() => null);
    if (!socket) continue;
    socket.on('error', () => undefined);
    // Who is admitted is greeted with SETTINGS.
    const first = await Promise.race([
      once(socket, 'data').then(
        () => true,
        () => false,
      ),
      new Promise<boolean>((resolve) => socket.once('close', () => resolve(false))),
    ]);
    if (first) admitted++;
  }
  assert.ok(admitted >= 5 && admitted < 50, `${admitted} of 60`);
  assert.equal(relay.tunnels.boxes <= 1, true);
});

test('a box whose answers cannot be written to a client: that client is sent on, and the relay goes on', async (t) => {
  const rig = await relayRig(t);
  const relay = await rig.relay({ elsewhere: () => 'http://router.example.org/x' });
  const box = await rig.box({
    onRequest: (stream, headers) => {
      const trailer = headers[':path'] === '/trailer' ? { trailer: 'x-later' } : {};
      stream.respond({ ':status': 200, 'content-length': 4, ...trailer });
      stream.end('here');
    },
  });
  box.tunnels.use([relay.urls.tunnelUrl]);
  await waitFor(async () => relay.tunnels.has(box.id) || null, 'not connected', { timeoutMs: 30_000 });
  const ask = (path: string) =>
    fetch(`${relayedContentUrl(relay.urls.publicUrl, box.id)}${path}`, {
      redirect: 'manual',
      signal: AbortSignal.timeout(30_000),
    });
  assert.equal((await ask('/trailer')).status, 302);
  assert.equal(await (await ask('/good')).text(), 'here');
});

function rssOf(pid: number): number {
  const kilobytes = /^VmRSS:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1];
  return Number(kilobytes) * 1024;
}
