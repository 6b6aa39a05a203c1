import { once } from 'node:events';
import net from 'node:net';
import { test } from 'node:test';
import { waitFor } from '#fleet/client/fleet-api.ts';
import { helloFor } from '#fleet/relay/hello-fixture.ts';
import { relayedContentUrl } from '#protocol/relay.ts';
import { relayRig } from './fixture.ts';

/** Within the window of a lone stream, beyond what a client takes that reads nothing: the box is done, the relay holds it. */
const HELD = Buffer.alloc(8_000_000);
const PATIENCE = { timeoutMs: 60_000 };

test('what a relay holds for a client that leaves is let go, though the box has long sent the last of it', async (t) => {
  const rig = await relayRig(t);
  let sent = 0;
  const box = await rig.box({
    onRequest: (stream) => {
      stream.once('close', () => sent++);
      stream.respond({ ':status': 200, 'content-length': HELD.length });
      stream.end(HELD);
    },
    onConnection: (connection) => {
      connection.once('close', () => sent++);
      connection.resume();
      connection.end(HELD);
    },
  });
  const relay = await rig.relay({ boxOf: async () => box.id });
  box.tunnels.use([relay.urls.tunnelUrl]);
  await waitFor(async () => relay.tunnels.has(box.id) || null, 'not connected', PATIENCE);
  const url = new URL(relayedContentUrl(relay.urls.publicUrl, box.id));
  const request = Buffer.from(`GET ${url.pathname}/x HTTP/1.1\r\nHost: x\r\n\r\n`);
  const hello = await helloFor('box.example.org');
  for (const [what, port, first] of [
    ['its TLS ended at the relay', Number(url.port), request],
    ['its TLS was carried through', relay.urls.tlsPort, hello],
  ] as const) {
    await waitFor(async () => relay.tunnels.streams === 0 || null, 'it is not idle', PATIENCE);
    const before = sent;
    const client = net.connect(port, '127.0.0.1');
    client.write(first);
    await once(client, 'readable');
    if (what === 'its TLS was carried through') client.end();
    await waitFor(async () => sent > before || null, `the box has not sent all: ${what}`, PATIENCE);
    client.destroy();
    await waitFor(
      async () => relay.tunnels.streams === 0 || null,
      () => `${relay.tunnels.streams} streams are open for a client that has left: ${what}`,
      PATIENCE,
    );
  }
});
