import assert from 'node:assert/strict';
import { createHash, X509Certificate } from 'node:crypto';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import http2 from 'node:http2';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import tls from 'node:tls';
import pg from 'pg';
import { waitFor } from '#fleet/client/fleet-api.ts';
import { startPebble } from '#test/support/pebble.ts';
import type { TestSystem } from '#test/support/system.ts';
import { testPort, useSystem } from '#test/support/system.ts';
import { needsTool } from '#test/support/tools.ts';
import { noise } from './fixture.ts';

const folder = mkdtempSync(join(tmpdir(), 'hearth-agent-relay-'));
const dnsPort = await testPort();
const relayTlsPort = await testPort();
const skipped = needsTool('pebble');
const pebble = skipped.skip ? null : await startPebble(folder, `127.0.0.1:${dnsPort}`);
async function query(system: TestSystem, sql: string): Promise<Record<string, unknown>[]> {
  const client = new pg.Client({ connectionString: system.database.url });
  await client.connect();
  return client.query(sql).then(
    ({ rows }) => client.end().then(() => rows),
    (error) =>
      client.end().then(() => {
        throw error;
      }),
  );
}

const DOMAIN = 'boxes.example.org';

/** A box that says it serves where nothing listens: as one behind a router that maps no port. */
describe('a box nobody can dial', skipped, () => {
  after(async () => {
    await pebble?.stop();
    rmSync(folder, { recursive: true, force: true });
  });
  const get = useSystem({
    boxes: 1,
    fleetEnv: {
      HEARTH_BOX_DOMAIN: DOMAIN,
      HEARTH_DNS_PORT: String(dnsPort),
      HEARTH_RELAY_TLS_PORT: String(relayTlsPort),
      HEARTH_ACME_DIRECTORY: pebble?.directoryUrl ?? '',
      HEARTH_ACME_CA_FILE: pebble?.caFile ?? '',
      HEARTH_ACME_ISSUER: 'pebble.letsencrypt.org',
    },
    agentEnv: { HEARTH_CONTENT_URL: 'http://127.0.0.1:9', HEARTH_TLS_PORT: '0' },
  });

  it('is reached through a relay, serves right bytes, and is paid for what it delivered there', async () => {
    const system = get();
    const bytes = noise(5_000_000);
    system.origin.write('/a.bin', bytes);
    const site = await system.addSite('relayed.localhost');
    const assets = await system.ingest(site, ['/a.bin']);
    await system.assign(assets, [system.box(0)]);
    await system.untilHeld(assets, [system.box(0)]);
    const box = await waitFor(
      async () => (await system.knownBoxes()).find((one) => one.reachedBy === 'relay'),
      () => `no relay reaches it\n${system.logs()}`,
      { timeoutMs: 60_000 },
    );
    assert.equal(box.routable, true);
    const answer = await waitFor(
      async () => {
        const found = await system.fetch(site, '/a.bin');
        return found.finalUrl.includes(`/b/${system.box(0).id}/c/`) ? found : null;
      },
      'clients are not sent to the relay',
      { timeoutMs: 30_000 },
    );
    assert.equal(answer.status, 200);
    assert.equal(
      createHash('sha256').update(answer.body).digest('hex'),
      createHash('sha256').update(bytes).digest('hex'),
    );
    const part = await system.fetch(site, '/a.bin', { headers: { range: 'bytes=4999990-' } });
    assert.equal(part.status, 206);
    assert.ok(part.body.equals(bytes.subarray(4_999_990)));
    await waitFor(
      async () => {
        const [row] = await query(system, 'SELECT bytes::int FROM relay_counts');
        return Number(row?.bytes) >= 5_000_010 ? row : null;
      },
      'the relay has not counted it',
      { timeoutMs: 30_000 },
    );
  });

  it('gets a certificate for its own name, and a browser speaks HTTP/2 with the box itself through the relay', async () => {
    const system = get();
    const [row] = await waitFor(
      async () => {
        const rows = await query(
          system,
          `SELECT name_label FROM boxes JOIN box_certificates ON box_id = id WHERE state = 'issued'`,
        );
        return rows.length > 0 ? rows : null;
      },
      () => `no certificate\n${system.logs()}`,
      { timeoutMs: 90_000 },
    );
    const name = `${row?.name_label}.${DOMAIN}`;
    const ca = [await (pebble?.root() ?? '')];
    const socket = await waitFor(
      async () => {
        const one = tls.connect({
          host: '127.0.0.1',
          port: relayTlsPort,
          servername: name,
          ca,
          ALPNProtocols: ['h2'],
        });
        return Promise.race([
          once(one, 'secureConnect').then(() => one),
          new Promise<null>((resolve) => one.once('error', () => resolve(null))),
        ]);
      },
      'the box does not speak TLS through the relay',
      { timeoutMs: 30_000 },
    );
    assert.equal(new X509Certificate(socket.getPeerCertificate(true).raw).checkHost(name), name);
    const session = http2.connect(`https://${name}`, { createConnection: () => socket });
    const stream = session.request({ ':path': '/_hearth/health?nonce=abc' });
    let text = '';
    for await (const piece of stream) text += String(piece);
    const said = JSON.parse(text);
    assert.deepEqual([said.boxId, said.nonce], [system.box(0).id, 'abc']);
    session.close();
  });
});
