import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { after, before, test } from 'node:test';
import type { boxes } from '#fleet/database/schema.ts';
import { assignments, placements } from '#fleet/database/schema.ts';
import { settle } from '#fleet/deliveries/settle.ts';
import { accountOf, balanceOf } from '#fleet/ledger/ledger.ts';
import {
  addAsset,
  addBox,
  addSite,
  type FleetDatabase,
  fleetDatabase,
} from '#fleet/testing/fleet-database.ts';
import { deliveryKeyFor, openToken, sealKeyFor } from '#protocol/delivery-token.ts';
import { newId } from '#protocol/ids.ts';
import type { Heartbeat } from '#protocol/messages.ts';
import { Sources } from './sources.ts';

const deliverySecret = randomBytes(32);
const keys = { deliverySecret, sealKey: sealKeyFor(deliverySecret) };
const HOUSE = '198.51.100.7';
let own: FleetDatabase;
let site: { siteId: string; tenantId: string };
before(async () => {
  own = await fleetDatabase();
  site = await addSite(own.db);
});
after(() => own?.close());

type BoxRow = Partial<typeof boxes.$inferInsert>;

function heartbeat(contentUrl: string, over: Partial<Heartbeat> = {}): Heartbeat {
  return {
    v: 1,
    at: new Date().toISOString(),
    bootId: '6f2a8c3e-1111-4222-8333-444455556666',
    uptimeMs: 1,
    contentUrl,
    serving: { connections: 0, bytesPerSecond: 0, bytesTotal: 0 },
    store: { state: 'ok', totalBytes: 1, freeBytes: 1, usedBytes: 0, objects: 1 },
    rssBytes: 1,
    load: 0,
    refusedMessages: 0,
    ...over,
  };
}

/** A box that is online and was dialled fine; `over` makes it worse. */
function holder(name: string, over: BoxRow = {}, beat: Partial<Heartbeat> = {}): BoxRow {
  const contentUrl = `http://${name}.example`;
  return {
    online: true,
    lastSeenAt: new Date(),
    dialOk: true,
    dialledUrl: contentUrl,
    observedAddress: '203.0.113.9',
    heartbeat: heartbeat(contentUrl, beat),
    ...over,
  };
}

/** An asset that is placed on all of these boxes, and held by all but the first. */
async function place(...rows: BoxRow[]) {
  const asset = await addAsset(own.db, site.siteId, `/${newId('asset')}.bin`, 5_000_000);
  const assignmentId = newId('asg');
  await own.db.insert(assignments).values({ id: assignmentId, assetId: asset.assetId });
  const ids: string[] = [];
  for (const [index, row] of rows.entries()) {
    const boxId = await addBox(own.db, row);
    ids.push(boxId);
    await own.db.insert(placements).values({
      assetId: asset.assetId,
      boxId,
      assignmentId,
      desired: 'held',
      reported: index === 0 ? 'queued' : 'held',
      reportedSha256: index === 0 ? null : asset.sha256,
    });
  }
  return { ...asset, ids };
}
const hostsOf = (found: Awaited<ReturnType<Sources['forFill']>>) =>
  found?.sources.map(({ url, lan }) => `${new URL(url).host}${lan ? ' lan' : ''}`);

test('boxes of the same network come first, by their address there; the less loaded before the others', async () => {
  const busy = { serving: { connections: 50, bytesPerSecond: 0, bytesTotal: 0 } };
  const lanUrl = 'http://192.168.1.20:7090';
  const { ids, sha256 } = await place(
    { observedAddress: HOUSE },
    holder('busy', {}, busy),
    holder('idle'),
    // Nobody outside can reach it, which those inside need not care about.
    holder('near', { observedAddress: HOUSE, dialOk: false }, { lanUrl }),
  );
  const found = await new Sources(own.db, keys, 1_000).forFill(ids[0] ?? '', sha256);
  assert.deepEqual(hostsOf(found), ['192.168.1.20:7090 lan', 'idle.example', 'busy.example']);
});

test('who is offline, silent, revoked, without its disk, not dialled fine, or does not hold it, is not named', async () => {
  const { ids, sha256, assetId } = await place(
    { observedAddress: HOUSE },
    holder('offline', { online: false }),
    holder('silent', { lastSeenAt: new Date(Date.now() - 600_000) }),
    holder('revoked', { revokedAt: new Date() }),
    holder('undialled', { dialOk: false }),
    holder('moved', { dialledUrl: 'http://elsewhere.example' }),
    holder(
      'diskless',
      {},
      { store: { state: 'absent', totalBytes: 0, freeBytes: 0, usedBytes: 0, objects: 0 } },
    ),
    holder('unfinished'),
    holder('outdated'),
    holder('good'),
  );
  await own.query("UPDATE placements SET reported = 'downloading' WHERE asset_id = $1 AND box_id = $2", [
    assetId,
    ids[7],
  ]);
  await own.query('UPDATE placements SET reported_sha256 = $3 WHERE asset_id = $1 AND box_id = $2', [
    assetId,
    ids[8],
    'f'.repeat(64),
  ]);
  const found = await new Sources(own.db, keys, 1_000).forFill(ids[0] ?? '', sha256);
  assert.deepEqual(hostsOf(found), ['good.example']);
});

test('a holder that nobody can dial is named by its relay, after those that can be; not by a relay that stops', async () => {
  const { ids, sha256 } = await place(
    { observedAddress: HOUSE },
    holder('behind', { dialOk: false }),
    holder('stopping', { dialOk: false }),
    holder('open', {}, { serving: { connections: 90, bytesPerSecond: 0, bytesTotal: 0 } }),
  );
  for (const [relay, boxId, draining] of [
    ['one', ids[1], false],
    ['two', ids[2], true],
  ] as const) {
    await own.query(
      'INSERT INTO relays (id, tunnel_url, public_url, addresses, draining) VALUES ($1, $2, $3, $4, $5)',
      [relay, `tls://${relay}.example:7443`, `https://${relay}.example`, ['192.0.2.1'], draining],
    );
    await own.query('INSERT INTO relay_tunnels (relay_id, box_id) VALUES ($1, $2)', [relay, boxId]);
  }
  const found = await new Sources(own.db, keys, 1_000).forFill(ids[0] ?? '', sha256);
  assert.deepEqual(hostsOf(found), ['open.example', 'one.example']);
  assert.ok(found?.sources[1]?.url.startsWith(`https://one.example/b/${ids[1]}/c/`));
});

test('a box is told only about what is placed on it, and not without end', async () => {
  const { ids, sha256 } = await place({}, holder('one'));
  const stranger = await addBox(own.db);
  let nowMs = 0;
  const sources = new Sources(own.db, keys, 1_000, () => nowMs);
  assert.equal(await sources.forFill(stranger, sha256), null);
  assert.equal(await sources.forFill(ids[0] ?? '', 'a'.repeat(64)), null);
  for (let n = 0; n < 6; n++) assert.ok(await sources.forFill(ids[0] ?? '', sha256));
  assert.equal(await sources.forFill(ids[0] ?? '', sha256), null);
  nowMs = 600_000;
  assert.ok(await sources.forFill(ids[0] ?? '', sha256));
});

test('a fill opens the box that holds it like any link, is bounded, and is paid nothing, by nobody', async () => {
  const { ids, sha256, assetId } = await place({}, holder('one'));
  const found = await new Sources(own.db, keys, 1_000).forFill(ids[0] ?? '', sha256);
  const boxId = ids[1] ?? '';
  const [, , token = '', siteId, ...rest] = new URL(found?.sources[0]?.url ?? '').pathname.split('/');
  const path = `/${rest.join('/')}`;
  const opened = openToken(
    token,
    { boxId, siteId: site.siteId, path },
    deliveryKeyFor(deliverySecret, boxId),
    Date.now(),
  );
  assert.equal(siteId, site.siteId);
  assert.equal(opened.maxBytes, 6_250_000);
  const before = await balanceOf(own.db, accountOf.tenant(site.tenantId));
  const line = { token, siteId: site.siteId, prefix: path, assetId, bytes: 5_000_000, requests: 5 };
  const batch = { v: 1 as const, at: new Date().toISOString(), batchId: newId('dlv'), lines: [line] };
  const settled = await settle(own.db, boxId, batch, keys.sealKey, {
    pricePerGb: 10_000_000_000n,
    boxSharePercent: 80n,
  });
  assert.deepEqual([settled.outcome, settled.acceptedBytes], ['settled', 0]);
  const [row] = await own.query(
    'SELECT reason, micro_credits::int, charged::int FROM delivery_lines WHERE box_id = $1',
    [boxId],
  );
  assert.deepEqual(row, { reason: 'fill', micro_credits: 0, charged: 0 });
  assert.equal(await balanceOf(own.db, accountOf.tenant(site.tenantId)), before);
  assert.equal(await balanceOf(own.db, accountOf.box(boxId)), 0n);
});
