import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import http from 'node:http';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import pg from 'pg';
import { waitFor } from '#fleet/client/fleet-api.ts';
import { RELAY_ENVIRONMENT } from '#fleet/relay/windows.ts';
import { Program } from '#local/program.ts';
import type { Asset, Site } from '#protocol/http-fleet.ts';
import { useSystem } from '#test/support/system.ts';
import { noise } from './fixture.ts';

const BYTES = noise(24_000_000);
const SHA256 = createHash('sha256').update(BYTES).digest('hex');
/** So much of it is there when the relay dies. */
const BEFORE = 4_000_000;

/** Two relays in processes of their own, and a box that nobody can dial. */
describe('relays that die', () => {
  const get = useSystem({
    boxes: 0,
    fleetEnv: { HEARTH_ROLES: 'api,broker,worker,router' },
  });
  const relays: Program[] = [];
  let site: Site;
  let assets: Asset[] = [];
  after(async () => {
    for (const relay of relays) await relay.stop();
  });

  const startRelay = async (): Promise<Program> => {
    const system = get();
    const relay = await Program.start({
      name: 'relay',
      args: ['fleet-server/main.ts'],
      env: {
        DATABASE_URL: system.database.url,
        HEARTH_KEYS_DIR: join(system.directory, 'keys'),
        HEARTH_ROLES: 'relay',
        HEARTH_ROUTER_URL: `http://127.0.0.1:${system.ports.router}`,
        HEARTH_RELAY_TUNNEL_PORT: '0',
        HEARTH_RELAY_PORT: '0',
        HEARTH_LOG_LEVEL: 'warn',
        ...RELAY_ENVIRONMENT,
      },
    });
    relays.push(relay);
    return relay;
  };
  const tunnels = async (): Promise<number> => {
    const client = new pg.Client({ connectionString: get().database.url });
    await client.connect();
    try {
      const { rows } = await client.query(`SELECT 1 FROM relay_tunnels JOIN relays ON id = relay_id
        WHERE seen_at > now() - interval '4 seconds'`);
      return rows.length;
    } finally {
      await client.end();
    }
  };
  const untilTunnels = (count: number) =>
    waitFor(
      async () => (await tunnels()) === count || null,
      () => `not at ${count} relays\n${get().logs()}`,
      { timeoutMs: 120_000 },
    );
  /** Where the router sends a client now. */
  const link = (): Promise<string> =>
    new Promise((resolve, reject) => {
      const { router } = get().ports;
      http
        .get(
          { host: '127.0.0.1', port: router, path: '/a.bin', headers: { host: site.hostname } },
          (answer) => {
            answer.resume();
            resolve(answer.headers.location ?? '');
          },
        )
        .once('error', reject);
    });
  const ofRelay = (relay: Program) =>
    waitFor(
      async () => {
        const found = await link();
        return found.startsWith(`${relay.ready.relayUrl}/b/`) ? found : null;
      },
      () => `nobody is sent to that relay\n${get().logs()}`,
      { timeoutMs: 60_000 },
    );

  it('a relay killed in the middle of a download: the client goes on through the router with Range', async () => {
    const system = get();
    const doomed = await startRelay();
    await startRelay();
    // Nothing listens where it says it serves: as behind a router that maps no port.
    await system.addBox('box', { HEARTH_CONTENT_URL: 'http://127.0.0.1:9' });
    system.origin.write('/a.bin', BYTES);
    site = await system.addSite('relays.localhost');
    assets = await system.ingest(site, ['/a.bin']);
    await system.assign(assets, [system.box(0)]);
    await system.untilHeld(assets, [system.box(0)]);
    await untilTunnels(2);
    const held: Buffer[] = [];
    let size = 0;
    await assert.rejects(
      download(await ofRelay(doomed), 0, (piece) => {
        held.push(piece);
        size += piece.length;
        if (size >= BEFORE) doomed.signal('SIGKILL');
      }),
    );
    assert.ok(size >= BEFORE && size < BYTES.length, `${size} bytes had come`);
    // As a player does: from where it was, by the link it had, which is the router's.
    await waitFor(
      async () => {
        const to = await link();
        if (!to.includes('/b/')) return null;
        return download(to, size, (piece) => {
          held.push(piece);
          size += piece.length;
        }).then(
          () => true,
          () => null,
        );
      },
      () => `the rest could not be had\n${system.logs()}`,
      { timeoutMs: 60_000 },
    );
    assert.equal(createHash('sha256').update(Buffer.concat(held)).digest('hex'), SHA256);
  });

  it('both relays down: clients get it from the origin; both back: from the box again', async () => {
    const system = get();
    for (const relay of relays.splice(0)) await relay.kill();
    const alone = await waitFor(
      async () => {
        const found = await system.fetch(site, '/a.bin').catch(() => null);
        return found?.status === 200 && !found.finalUrl.includes('/b/') ? found : null;
      },
      () => `the origin does not step in\n${system.logs()}`,
      { timeoutMs: 60_000 },
    );
    assert.equal(alone.sha256, SHA256);
    await startRelay();
    await startRelay();
    await untilTunnels(2);
    const again = await waitFor(
      async () => {
        const found = await system.fetch(site, '/a.bin').catch(() => null);
        return found?.finalUrl.includes('/b/') ? found : null;
      },
      () => `nobody is sent to the box\n${system.logs()}`,
      { timeoutMs: 60_000 },
    );
    assert.equal(again.sha256, SHA256);
  });

  it('a box revoked at the fleet, as for a stolen certificate: its tunnels are cut within a minute', async () => {
    const system = get();
    const [relay] = relays;
    assert.ok(relay);
    const to = await ofRelay(relay);
    assert.equal((await system.api.raw('DELETE', `/boxes/${system.box(0).id}`)).status, 204);
    const revokedAt = performance.now();
    await waitFor(
      async () => {
        const answer = await fetch(to, { redirect: 'manual' });
        // What is under way when the tunnel is cut breaks off.
        await answer.arrayBuffer().catch(() => null);
        return answer.status === 302 || null;
      },
      () => `it is still served through the relay\n${system.logs()}`,
      { timeoutMs: 60_000 },
    );
    assert.ok(performance.now() - revokedAt < 60_000);
    // It has its key and certificate, and dials again and again; it is not let in.
    await untilTunnels(0);
  });
});

/** @throws when it breaks off */
function download(url: string, from: number, onPiece: (piece: Buffer) => void): Promise<void> {
  return new Promise((resolve, reject) => {
    const request = http.get(url, { headers: { range: `bytes=${from}-` }, agent: false }, (answer) => {
      if (answer.statusCode !== 206) {
        answer.resume();
        reject(new Error(`status ${answer.statusCode}`));
        return;
      }
      answer.on('data', onPiece);
      answer.once('error', reject);
      answer.once('end', resolve);
    });
    request.setTimeout(20_000, () => request.destroy(new Error('no byte in time')));
    request.once('error', reject);
  });
}
