import assert from 'node:assert/strict';
import { createHash, X509Certificate } from 'node:crypto';
import { Resolver } from 'node:dns/promises';
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
const [relayTlsPort, otherTlsPort] = [await testPort(), await testPort()];
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
const fleetEnv = {
  HEARTH_BOX_DOMAIN: DOMAIN,
  HEARTH_DNS_PORT: String(dnsPort),
  HEARTH_ACME_DIRECTORY: pebble?.directoryUrl ?? '',
  HEARTH_ACME_CA_FILE: pebble?.caFile ?? '',
  HEARTH_ACME_ISSUER: 'pebble.letsencrypt.org',
};

after(async () => {
  await pebble?.stop();
  rmSync(folder, { recursive: true, force: true });
});

/** A client that trusts pebble, and for whom the boxes' names are on this machine. */
async function aClient(): Promise<{ ca: string; addressOf: (host: string) => string | null }> {
  return {
    ca: (await pebble?.root()) ?? '',
    addressOf: (host) => (host.endsWith(`.${DOMAIN}`) ? '127.0.0.1' : null),
  };
}

async function nameOf(system: TestSystem): Promise<string> {
  const [row] = await query(system, 'SELECT name_label FROM boxes');
  return `${row?.name_label}.${DOMAIN}`;
}

/** What the fleet's own DNS says. */
async function resolved(name: string): Promise<string[]> {
  const resolver = new Resolver();
  resolver.setServers([`127.0.0.1:${dnsPort}`]);
  return resolver.resolve4(name);
}

/** A box that says it serves where nothing listens: as one behind a router that maps no port. */
describe('a box nobody can dial', skipped, () => {
  const get = useSystem({
    boxes: 1,
    fleetEnv: { ...fleetEnv, HEARTH_RELAY_TLS_PORT: String(relayTlsPort) },
    agentEnv: { HEARTH_CONTENT_URL: 'http://127.0.0.1:9', HEARTH_TLS_PORT: '0' },
  });

  it('is reached by its own name through a relay, serves right bytes, and is paid for what it delivered', async () => {
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
    const client = await aClient();
    const base = `https://${await nameOf(system)}:${relayTlsPort}/c/`;
    const answer = await waitFor(
      async () => {
        const found = await system.fetch(site, '/a.bin', client);
        return found.finalUrl.startsWith(base) ? found : null;
      },
      () => `clients are not sent to the box's name\n${system.logs()}`,
      { timeoutMs: 90_000 },
    );
    assert.equal(answer.status, 200);
    assert.equal(answer.sha256, createHash('sha256').update(bytes).digest('hex'));
    const part = await system.fetch(site, '/a.bin', { ...client, headers: { range: 'bytes=4999990-' } });
    assert.equal(part.status, 206);
    assert.ok(part.body.equals(bytes.subarray(4_999_990)));
    // The name leads to the relay.
    assert.deepEqual(await resolved(await nameOf(system)), ['127.0.0.1']);
    await waitFor(
      async () => {
        const [row] = await query(system, 'SELECT bytes::int FROM relay_counts');
        return Number(row?.bytes) >= 5_000_010 ? row : null;
      },
      'the relay has not counted it',
      { timeoutMs: 30_000 },
    );
    // The relay under its own name serves it as well, for who has no other way.
    const [relay] = await query(system, 'SELECT public_url FROM relays');
    const link = new URL(answer.finalUrl);
    const plain = await fetch(`${relay?.public_url}/b/${system.box(0).id}${link.pathname}`);
    assert.ok(Buffer.from(await plain.arrayBuffer()).equals(bytes));
  });

  it('a browser speaks HTTP/2 with the box itself through the relay', async () => {
    const system = get();
    const name = await nameOf(system);
    const ca = [await (pebble?.root() ?? '')];
    const socket = tls.connect({
      host: '127.0.0.1',
      port: relayTlsPort,
      servername: name,
      ca,
      ALPNProtocols: ['h2'],
    });
    await once(socket, 'secureConnect');
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

/** One the fleet can dial, plain and by TLS. */
describe('a box that can be dialled', skipped, () => {
  const get = useSystem({
    boxes: 1,
    fleetEnv: { ...fleetEnv, HEARTH_RELAY_TLS_PORT: String(otherTlsPort) },
    agentEnv: { HEARTH_TLS_PORT: '0' },
  });

  it('is met by TLS with the certificate it was given, and clients are sent straight to its name', async () => {
    const system = get();
    const bytes = noise(1_000_000);
    system.origin.write('/b.bin', bytes);
    const site = await system.addSite('direct.localhost');
    const assets = await system.ingest(site, ['/b.bin']);
    await system.assign(assets, [system.box(0)]);
    await system.untilHeld(assets, [system.box(0)]);
    const client = await aClient();
    const answer = await waitFor(
      async () => {
        const found = await system.fetch(site, '/b.bin', client);
        return found.finalUrl.startsWith('https:') ? found : null;
      },
      () => `clients are not sent to the box's name\n${system.logs()}`,
      { timeoutMs: 90_000 },
    );
    assert.equal(answer.sha256, createHash('sha256').update(bytes).digest('hex'));
    const name = await nameOf(system);
    const [row] = await query(system, 'SELECT secure_url, secure_ok FROM boxes');
    assert.equal(row?.secure_ok, true);
    assert.equal(answer.finalUrl.split('/c/')[0], `https://${name}:${new URL(String(row?.secure_url)).port}`);
    assert.deepEqual(await resolved(name), ['127.0.0.1']);
    assert.deepEqual(await query(system, 'SELECT 1 FROM relay_tunnels'), []);
  });
});
