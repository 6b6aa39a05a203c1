import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net';
import { after, before, test } from 'node:test';
import pg from 'pg';
import { pino } from 'pino';
import { waitFor } from '#fleet/client/fleet-api.ts';
import type { boxes } from '#fleet/database/schema.ts';
import {
  addAsset,
  addBox,
  addSite,
  type FleetDatabase,
  fleetDatabase,
} from '#fleet/testing/fleet-database.ts';
import { relayedContentUrl } from '#protocol/relay.ts';
import { Catalogue } from './catalogue.ts';

let own: FleetDatabase;
let catalogue: Catalogue;
before(async () => {
  own = await fleetDatabase();
  catalogue = new Catalogue(own.db, 1000, pino({ level: 'silent' }));
});
after(async () => {
  catalogue?.close();
  await own?.close();
});

test('while the database does not answer, what was known counts, and the rest goes to the origin', async () => {
  const { siteId } = await addSite(own.db);
  await addBox(own.db);
  const { assetId } = await addAsset(own.db, siteId, '/known');
  assert.equal((await catalogue.route(siteId, '/known'))?.assetId, assetId);
  const other = new pg.Client({ connectionString: own.url });
  await other.connect();
  await other.query('BEGIN');
  await other.query('LOCK TABLE assets IN ACCESS EXCLUSIVE MODE');
  const later = Date.now() + 3_600_000;
  // Two for the same path: the second must not wait for the first without end.
  const [one, two, unknown] = await Promise.all([
    catalogue.route(siteId, '/known', later),
    catalogue.route(siteId, '/known', later),
    catalogue.route(siteId, '/unknown', later),
  ]);
  assert.deepEqual([one?.assetId, two?.assetId, unknown], [assetId, assetId, null]);
  await other.query('ROLLBACK');
  await other.end();
});

test('a relay that has died gets no client any more, whatever the database still says of it', async (t) => {
  const relays: { url: string; server: Server; kept: () => Promise<unknown> }[] = [];
  for (const name of ['one', 'two']) {
    const server = createServer((socket) => socket.on('error', () => undefined));
    const kept = once(server, 'connection');
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    relays.push({ url, server, kept: () => kept });
    // As if it had just said that it is there, for the whole of the test.
    await own.query(
      "INSERT INTO relays (id, tunnel_url, public_url, addresses, seen_at) VALUES ($1, 'tls://127.0.0.1:1', $2, '{}', now() + interval '1 hour')",
      [`relay-${name}`, url],
    );
  }
  const heartbeat = { store: { state: 'ok' }, serving: { connections: 0, bytesPerSecond: 0 } };
  const over = { online: true, lastSeenAt: new Date(Date.now() + 3_600_000), dialOk: false };
  const ids = await Promise.all(
    Array.from({ length: 20 }, () =>
      addBox(own.db, { ...over, heartbeat } as unknown as Partial<typeof boxes.$inferInsert>),
    ),
  );
  await own.query(
    'INSERT INTO relay_tunnels (relay_id, box_id) SELECT relays.id, boxes.id FROM relays, boxes WHERE boxes.id = ANY($1)',
    [ids],
  );
  await catalogue.refresh();
  const [dying, other] = relays;
  assert.ok(dying && other);
  t.after(() => other.server.close());
  const [[socket]] = (await Promise.all([dying.kept(), other.kept()])) as [[Socket], unknown];
  const urlOf = (id: string) => catalogue.box(id)?.contentUrl;
  assert.ok(ids.some((id) => urlOf(id) === relayedContentUrl(dying.url, id)));
  dying.server.close();
  socket.destroy();
  const moved = () => ids.every((id) => urlOf(id) === relayedContentUrl(other.url, id));
  await waitFor(async () => moved() || null, 'clients are still sent to the dead relay', {
    timeoutMs: 30_000,
  });
  // And stays so, however often what the database says is read.
  for (let n = 0; n < 3; n++) await catalogue.refresh();
  assert.ok(moved());
});
