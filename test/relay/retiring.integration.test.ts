import assert from 'node:assert/strict';
import https from 'node:https';
import type { LookupFunction } from 'node:net';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import tls from 'node:tls';
import { waitFor } from '#fleet/client/fleet-api.ts';
import { relayedContentUrl } from '#protocol/relay.ts';
import { testPort } from '#test/support/system.ts';
import { noise, relayRig, sendSlowly } from './fixture.ts';

const DOMAIN = 'boxes.example.org';
const CLIENTS = 12;
const until = (what: string, holds: () => Promise<boolean> | boolean) =>
  waitFor(async () => (await holds()) || null, `still not: ${what}`, { timeoutMs: 60_000 });

test('SIGTERM to one of two relays under load: boxes move first, running answers end whole, no request fails', {
  timeout: 180_000,
}, async (t) => {
  const rig = await relayRig(t);
  const bytes = noise(300_000);
  const box = await rig.box({
    // Slow enough to be under way when the relay stops.
    onRequest: (stream) => sendSlowly(stream, bytes),
  });
  const env = { HEARTH_RELAY_DRAIN_MS: '30000' };
  const [first, second] = [await rig.relayProcess(env), await rig.relayProcess(env)];
  box.tunnels.use([first.tunnelUrl, second.tunnelUrl]);
  const routes = () =>
    rig.database.query(
      'SELECT public_url FROM relays JOIN relay_tunnels ON relay_id = relays.id WHERE NOT draining',
    );
  await until('at both', async () => (await routes()).length === 2);
  let asked = 0;
  let stop = false;
  const failures: string[] = [];
  const client = async (n: number) => {
    const ask = async (turn: number) => {
      const urls = (await routes()).map((row) => String(row.public_url));
      const url = urls[turn % urls.length];
      if (url === undefined) throw new Error('the box is nowhere');
      return fetch(`${relayedContentUrl(url, box.id)}/c/x`);
    };
    for (let turn = n; !stop; turn++) {
      try {
        let answer = await ask(turn);
        // It began to leave between the look and the request: the router, asked once more, knows.
        if (answer.status === 503) answer = await ask(turn);
        const body = Buffer.from(await answer.arrayBuffer());
        if (!body.equals(bytes)) failures.push(`${answer.status}, ${body.length} bytes`);
        asked++;
      } catch (error) {
        failures.push(String(error));
      }
    }
  };
  const clients = Array.from({ length: CLIENTS }, (_, n) => client(n));
  await until('under load', () => asked > 2 * CLIENTS);
  await first.program.stop();
  const before = asked;
  await until('load after it stopped', () => asked > before + 2 * CLIENTS);
  stop = true;
  await Promise.all(clients);
  assert.deepEqual(failures, []);
  assert.deepEqual(box.tunnels.connected, [second.tunnelUrl]);
});

test("SIGKILL to one of two relays under load: by the box's name, which leads to both, every new request is served", {
  timeout: 180_000,
}, async (t) => {
  const rig = await relayRig(t);
  const port = String(await testPort());
  const hosts = ['127.0.0.1', '127.0.0.2'];
  const relays = [];
  for (const host of hosts) {
    relays.push(
      await rig.relayProcess({
        HEARTH_BIND: host,
        HEARTH_BOX_DOMAIN: DOMAIN,
        HEARTH_RELAY_TLS_PORT: port,
      }),
    );
  }
  const bytes = noise(50_000);
  // The box speaks HTTP/1.1 over its own TLS, that no relay can read.
  const { keyPem, certificatePem } = await rig.keys.ca.issueServer(['any.example.org']);
  const server = https.createServer({ key: keyPem, cert: certificatePem }, (_, response) =>
    response.end(bytes),
  );
  const box = await rig.box({ onConnection: (connection) => void server.emit('connection', connection) });
  t.after(() => server.closeAllConnections());
  const [row] = await rig.database.query('SELECT name_label FROM boxes WHERE id = $1', [box.id]);
  const servername = `${row?.name_label}.${DOMAIN}`;
  box.tunnels.use(relays.map(({ tunnelUrl }) => tunnelUrl));
  await until('at both', async () => (await rig.database.query('SELECT 1 FROM relay_tunnels')).length === 2);
  // As a browser does with a name of two addresses: refused at one, it goes to the other.
  const lookup: LookupFunction = (_name, _options, done) => {
    const turned = Math.random() < 0.5 ? hosts : hosts.toReversed();
    done(
      null,
      turned.map((address) => ({ address, family: 4 })),
    );
  };
  const get = () =>
    new Promise<Buffer>((resolve, reject) => {
      const options: https.RequestOptions & {
        autoSelectFamily: boolean;
        autoSelectFamilyAttemptTimeout: number;
      } = {
        host: servername,
        port,
        servername,
        lookup,
        autoSelectFamily: true,
        // Node gives an address a quarter of a second: this machine may take longer to notice that it has answered.
        autoSelectFamilyAttemptTimeout: 20_000,
        agent: false,
        ca: rig.keys.ca.certificatePem,
        checkServerIdentity: (_name, certificate) => tls.checkServerIdentity('any.example.org', certificate),
      };
      const request = https.get(options, (answer) => {
        const pieces: Buffer[] = [];
        answer.on('data', (piece: Buffer) => pieces.push(piece));
        answer.once('error', reject);
        answer.once('end', () => resolve(Buffer.concat(pieces)));
      });
      request.setTimeout(20_000, () => request.destroy(new Error('no byte in time')));
      request.once('error', reject);
    });
  let asked = 0;
  let stop = false;
  let dying = false;
  let killed = false;
  const failures: string[] = [];
  const client = async () => {
    while (!stop) {
      // What was under way at the relay that is killed is lost with it, and asked for again: see faults.
      const isNew = killed;
      const body = await get().catch((error: unknown) => String(error));
      if (typeof body === 'string') await sleep(50);
      if (typeof body !== 'string' && body.equals(bytes)) asked++;
      else if (isNew || !dying) failures.push(typeof body === 'string' ? body : 'other bytes');
    }
  };
  const clients = Array.from({ length: CLIENTS }, client);
  await until('under load', () => {
    assert.deepEqual(failures, []);
    return asked > 2 * CLIENTS;
  });
  dying = true;
  await relays[0]?.program.kill();
  killed = true;
  const before = asked;
  await until('load after it was killed', () => asked > before + 4 * CLIENTS);
  stop = true;
  await Promise.all(clients);
  assert.deepEqual(failures, []);
});
