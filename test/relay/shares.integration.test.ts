import assert from 'node:assert/strict';
import http from 'node:http';
import { test } from 'node:test';
import { waitFor } from '#fleet/client/fleet-api.ts';
import { relayedContentUrl } from '#protocol/relay.ts';
import { relayRig } from './fixture.ts';

const PIECE = Buffer.alloc(64 * 1024, 7);

test('a relay that is full: boxes have equal shares of it by bytes, whatever their clients do', async (t) => {
  const rig = await relayRig(t);
  const relay = await rig.relay({
    options: {
      host: '127.0.0.1',
      tunnelPort: 0,
      httpPort: 0,
      tlsPort: null,
      names: ['127.0.0.1'],
      drainMs: 0,
      rates: { total: 1_000_000, perBox: null },
    },
  });
  const endless = () =>
    rig.box({
      onRequest: (stream) => {
        stream.respond({ ':status': 200 });
        const more = () => {
          while (!stream.destroyed && stream.write(PIECE));
        };
        stream.on('drain', more);
        more();
      },
    });
  const [popular, quiet] = [await endless(), await endless()];
  for (const box of [popular, quiet]) box.tunnels.use([relay.urls.tunnelUrl]);
  await waitFor(async () => relay.tunnels.boxes === 2 || null, 'the boxes are not there', {
    timeoutMs: 20_000,
  });
  const got = { popular: 0, quiet: 0 };
  const ask = (name: keyof typeof got, boxId: string) => {
    const request = http.get(`${relayedContentUrl(relay.urls.publicUrl, boxId)}/c/x`, (answer) => {
      answer.on('data', (piece) => {
        got[name] += piece.length;
      });
      answer.on('error', () => undefined);
    });
    request.on('error', () => undefined);
    t.after(() => request.destroy());
  };
  for (let n = 0; n < 20; n++) ask('popular', popular.id);
  ask('quiet', quiet.id);
  await waitFor(
    async () => got.popular + got.quiet > 4_000_000 || null,
    () => JSON.stringify(got),
    { timeoutMs: 60_000 },
  );
  assert.ok(got.quiet > 0.3 * (got.popular + got.quiet), JSON.stringify(got));
});
