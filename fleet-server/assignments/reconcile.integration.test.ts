import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { after, before, test } from 'node:test';
import { sql } from 'drizzle-orm';
import { addAssets, ingestAsset } from '#fleet/assets/assets.ts';
import { applyIndex, applyReports } from '#fleet/broker/reported-state.ts';
import {
  bodyOf,
  complete,
  due,
  enqueue,
  IN_FLIGHT,
  makeDue,
  markSent,
  RESEND_MS,
} from '#fleet/commands/outbox.ts';
import {
  addAsset,
  addBox,
  addSite,
  type FleetDatabase,
  fleetDatabase,
} from '#fleet/testing/fleet-database.ts';
import { isHearthError } from '#protocol/errors.ts';
import type { AssetReport, Heartbeat } from '#protocol/messages.ts';
import { assign, expirePlacements, listAssignments, listPlacements, purge, unassign } from './assignments.ts';
import { reconcileBox, unsettledBoxes } from './reconcile.ts';

let own: FleetDatabase;
let siteId: string;
before(async () => {
  own = await fleetDatabase();
  ({ siteId } = await addSite(own.db));
});
after(() => own?.close());

const reply = (commandId: string) => ({
  v: 1 as const,
  at: new Date().toISOString(),
  commandId,
  outcome: { ok: true as const, result: null },
});
const report = (asset: { assetId: string; sha256: string }, state: AssetReport['state']): AssetReport => ({
  ...asset,
  state,
  bytesDone: 0,
  reason: null,
});
const types = async (boxId: string) => (await due(own.db, boxId)).map((row) => row.type);

test('assign, send, hold, unassign, delete, forget', async () => {
  const boxId = await addBox(own.db);
  const asset = await addAsset(own.db, siteId, '/life');
  const [id] = await assign(own.db, {
    assets: { assetIds: [asset.assetId] },
    boxes: { boxIds: [boxId] },
    ttlMs: null,
  });
  assert.ok(id);
  assert.equal(await reconcileBox(own.db, boxId), 1);
  assert.equal(await reconcileBox(own.db, boxId), 0);
  const [command] = await due(own.db, boxId);
  assert.ok(command);
  const body = await bodyOf(own.db, command);
  assert.ok(body?.type === 'cache');
  assert.equal(body.asset.sha256, asset.sha256);
  assert.equal(body.asset.originUrl, 'http://origin.test/life');

  await markSent(own.db, [command.id]);
  assert.deepEqual(await types(boxId), []);
  assert.equal((await due(own.db, boxId, new Date(Date.now() + RESEND_MS + 1))).length, 1);
  await makeDue(own.db, boxId);
  assert.deepEqual(await types(boxId), ['cache']);
  assert.equal((await complete(own.db, boxId, reply(command.id)))?.id, command.id);
  assert.equal(await complete(own.db, boxId, reply(command.id)), null);

  await applyReports(own.db, boxId, [report(asset, 'held')]);
  assert.equal((await listAssignments(own.db, { ids: [id], limit: 1 })).items[0]?.converged, true);
  assert.equal(await reconcileBox(own.db, boxId), 0);
  assert.ok(!(await unsettledBoxes(own.db)).includes(boxId));

  assert.equal(await unassign(own.db, { assetIds: [asset.assetId] }), 1);
  assert.equal(await unassign(own.db, { assetIds: [asset.assetId] }), 0);
  await reconcileBox(own.db, boxId);
  assert.deepEqual(await types(boxId), ['delete']);
  await applyReports(own.db, boxId, [report(asset, 'deleted')]);
  await reconcileBox(own.db, boxId);
  assert.deepEqual(await listPlacements(own.db, { boxId }), []);
});

test('reconcilers at the same moment send one command', async () => {
  const boxId = await addBox(own.db);
  const asset = await addAsset(own.db, siteId, '/race');
  await assign(own.db, { assets: { assetIds: [asset.assetId] }, boxes: { boxIds: [boxId] }, ttlMs: null });
  const steps = await Promise.all(Array.from({ length: 5 }, () => reconcileBox(own.db, boxId)));
  assert.equal(
    steps.reduce((sum, one) => sum + one, 0),
    1,
  );
  assert.deepEqual(await types(boxId), ['cache']);
});

test('what a box refused is asked again at once when its disk has changed', async () => {
  const boxId = await addBox(own.db);
  const asset = await addAsset(own.db, siteId, '/refused-by-disk');
  await assign(own.db, {
    assets: { assetIds: [asset.assetId] },
    boxes: { boxIds: [boxId] },
    ttlMs: null,
  });
  await reconcileBox(own.db, boxId);
  const [command] = await due(own.db, boxId);
  assert.ok(command);
  const error = { code: 'disk_read_only', message: 'the disk cannot be written' };
  await complete(own.db, boxId, { ...reply(command.id), outcome: { ok: false, error } });
  await applyReports(own.db, boxId, [report(asset, 'failed')]);
  assert.equal(await reconcileBox(own.db, boxId), 0);
  await own.query('UPDATE boxes SET disk_changed_at = now() WHERE id = $1', [boxId]);
  assert.equal(await reconcileBox(own.db, boxId), 1);
  assert.deepEqual(await types(boxId), ['cache']);
});

test('a reply of another box ends nothing', async () => {
  const boxId = await addBox(own.db);
  const asset = await addAsset(own.db, siteId, '/theft');
  await assign(own.db, { assets: { assetIds: [asset.assetId] }, boxes: { boxIds: [boxId] }, ttlMs: null });
  await reconcileBox(own.db, boxId);
  const [command] = await due(own.db, boxId);
  assert.equal(await complete(own.db, await addBox(own.db), reply(command?.id ?? '')), null);
  assert.deepEqual(await types(boxId), ['cache']);
});

test('the index is the truth: what is missing is sent again, what is too much is named', async () => {
  const boxId = await addBox(own.db);
  const asset = await addAsset(own.db, siteId, '/index');
  const stray = await addAsset(own.db, siteId, '/stray');
  await assign(own.db, { assets: { assetIds: [asset.assetId] }, boxes: { boxIds: [boxId] }, ttlMs: null });
  await applyReports(own.db, boxId, [report(asset, 'held')]);
  const strays = await applyIndex(own.db, boxId, [report(stray, 'held')]);
  assert.deepEqual(
    strays.map((entry) => entry.assetId),
    [stray.assetId],
  );
  assert.equal((await listPlacements(own.db, { boxId }))[0]?.reported, 'deleted');
  await reconcileBox(own.db, boxId);
  assert.deepEqual(await types(boxId), ['cache']);
});

test('a new reading is sent to boxes that hold the old bytes', async () => {
  const boxId = await addBox(own.db);
  const asset = await addAsset(own.db, siteId, '/changed');
  await assign(own.db, { assets: { assetIds: [asset.assetId] }, boxes: { boxIds: [boxId] }, ttlMs: null });
  await applyReports(own.db, boxId, [report(asset, 'held')]);
  await own.query('UPDATE assets SET sha256 = $1 WHERE id = $2', ['e'.repeat(64), asset.assetId]);
  assert.ok((await unsettledBoxes(own.db)).includes(boxId));
  await reconcileBox(own.db, boxId);
  const [command] = await due(own.db, boxId);
  const body = command && (await bodyOf(own.db, command));
  assert.equal(body?.type === 'cache' && body.asset.sha256, 'e'.repeat(64));
});

test('a TTL expires; renewing it is told to the box', async () => {
  const boxId = await addBox(own.db);
  const asset = await addAsset(own.db, siteId, '/ttl');
  const request = { assets: { assetIds: [asset.assetId] }, boxes: { boxIds: [boxId] } };
  await assign(own.db, { ...request, ttlMs: 60_000 });
  await applyReports(own.db, boxId, [report(asset, 'held')]);
  await assign(own.db, { ...request, ttlMs: 120_000 });
  const [command] = await due(own.db, boxId);
  const body = command && (await bodyOf(own.db, command));
  assert.ok(body?.type === 'cache' && body.ttlMs !== null && body.ttlMs > 60_000);
  assert.equal(await expirePlacements(own.db, new Date(Date.now() + 60_001)), 0);
  assert.equal(await expirePlacements(own.db, new Date(Date.now() + 120_001)), 1);
  assert.equal((await listPlacements(own.db, { boxId }))[0]?.desired, 'absent');
  assert.equal(
    (await listAssignments(own.db, { open: true, limit: 200 })).items.some(
      (one) => one.assetId === asset.assetId,
    ),
    false,
  );
});

test('a placement assigned again while it is forgotten stays', async () => {
  const boxId = await addBox(own.db);
  const asset = await addAsset(own.db, siteId, '/again');
  const request = { assets: { assetIds: [asset.assetId] }, boxes: { boxIds: [boxId] }, ttlMs: null };
  await assign(own.db, request);
  await applyReports(own.db, boxId, [report(asset, 'deleted')]);
  await unassign(own.db, request.assets);
  // An assignment that is not committed yet holds the row while the reconciler plans to forget it.
  let reconciled: Promise<number> | undefined;
  await own.db.transaction(async (tx) => {
    await tx.execute(sql`UPDATE placements SET desired = 'held' WHERE box_id = ${boxId}`);
    reconciled = reconcileBox(own.db, boxId);
    await new Promise((resolve) => setTimeout(resolve, 300));
  });
  await reconciled;
  assert.equal((await listPlacements(own.db, { boxId }))[0]?.desired, 'held');
});

test('a refused asset is asked for again later, and nothing that is open is lost meanwhile', async () => {
  const boxId = await addBox(own.db);
  const asset = await addAsset(own.db, siteId, '/refused');
  await assign(own.db, { assets: { assetIds: [asset.assetId] }, boxes: { boxIds: [boxId] }, ttlMs: null });
  await reconcileBox(own.db, boxId);
  const [command] = await due(own.db, boxId);
  const outcome = { ok: false as const, error: { code: 'disk_full', message: 'full' } };
  await complete(own.db, boxId, { ...reply(command?.id ?? ''), outcome });
  await applyReports(own.db, boxId, [report(asset, 'failed')]);
  assert.equal(await reconcileBox(own.db, boxId), 0);
  await own.query("UPDATE commands SET ended_at = ended_at - interval '61 s' WHERE box_id = $1", [boxId]);
  assert.ok((await unsettledBoxes(own.db)).includes(boxId));
  assert.equal(await reconcileBox(own.db, boxId), 1);
  assert.deepEqual(await types(boxId), ['cache']);
});

test('no more commands are under way than a box can work on; those without answer block no other', async () => {
  const boxId = await addBox(own.db);
  for (let index = 0; index < 3 * IN_FLIGHT; index++) {
    await enqueue(own.db, boxId, `get:${index}`, { type: 'get', sha256: 'a'.repeat(64) });
  }
  const first = await due(own.db, boxId);
  const ids = (rows: { id: string }[]) => rows.map((row) => row.id);
  assert.equal(first.length, IN_FLIGHT);
  await markSent(own.db, ids(first));
  assert.deepEqual(await due(own.db, boxId), []);
  await complete(own.db, boxId, reply(first[0]?.id ?? ''));
  const [next, ...more] = await due(own.db, boxId);
  assert.ok(next && !ids(first).includes(next.id) && more.length === 0);
  const later = await due(own.db, boxId, new Date(Date.now() + RESEND_MS + 1));
  assert.ok(later.length > 0 && later.every((row) => !ids(first).includes(row.id)));
});

test('an asset named twice in a report is as it was named last', async () => {
  const boxId = await addBox(own.db);
  const asset = await addAsset(own.db, siteId, '/twice');
  await assign(own.db, { assets: { assetIds: [asset.assetId] }, boxes: { boxIds: [boxId] }, ttlMs: null });
  const states = ['queued', 'held', 'failed', 'held'] as const;
  await applyReports(
    own.db,
    boxId,
    states.map((state) => report(asset, state)),
  );
  assert.equal((await listPlacements(own.db, { boxId }))[0]?.reported, 'held');
});

test('changes of what is wanted, in any order and at the same moment, wait for each other', async () => {
  const boxIds = [await addBox(own.db), await addBox(own.db)];
  const assetIds: string[] = [];
  for (let index = 0; index < 20; index++) {
    assetIds.push((await addAsset(own.db, siteId, `/circle/${index}`)).assetId);
  }
  const change = (turn: number) => {
    const order = turn % 2 === 0 ? assetIds : assetIds.toReversed();
    if (turn % 3 === 2) return unassign(own.db, { assetIds: order });
    return assign(own.db, {
      assets: { assetIds: order },
      boxes: { boxIds: turn % 2 === 0 ? boxIds : boxIds.toReversed() },
      ttlMs: null,
    });
  };
  await Promise.all(Array.from({ length: 8 }, (_, turn) => change(turn)));
});

test('all assignments of one request are listed, page by page, and say the truth of old bytes', async () => {
  const boxId = await addBox(own.db);
  const asset = await addAsset(own.db, siteId, '/pages/0');
  for (let index = 1; index < 7; index++) await addAsset(own.db, siteId, `/pages/${index}`);
  const made = await assign(own.db, {
    assets: { siteId, prefix: '/pages/' },
    boxes: { boxIds: [boxId] },
    ttlMs: null,
  });
  const seen: string[] = [];
  let after: string | undefined;
  do {
    const page = await listAssignments(own.db, { open: true, after, limit: 2 });
    seen.push(...page.items.map((item) => item.id));
    after = page.next ?? undefined;
  } while (after);
  assert.equal(new Set(seen).size, seen.length);
  assert.deepEqual(
    made.filter((id) => !seen.includes(id)),
    [],
  );
  await applyReports(own.db, boxId, [report({ ...asset, sha256: 'f'.repeat(64) }, 'held')]);
  const { items } = await listAssignments(own.db, { ids: made, limit: 10 });
  assert.equal(items.find((item) => item.assetId === asset.assetId)?.converged, false);
});

test('a reading that ends after a purge does not bring the asset back', async () => {
  const origin = createServer((_request, response) => response.end('bytes')).listen(0, '127.0.0.1');
  await once(origin, 'listening');
  const { siteId: purgedSite } = await addSite(
    own.db,
    `http://127.0.0.1:${(origin.address() as AddressInfo).port}`,
  );
  const [assetId = ''] = await addAssets(own.db, purgedSite, ['/x']);
  const { signal } = new AbortController();
  const state = async () => (await own.query('SELECT state FROM assets WHERE id = $1', [assetId]))[0]?.state;
  const purgeThenFetch: typeof fetch = async (...request) => {
    await purge(own.db, { assetIds: [assetId] });
    return fetch(...request);
  };
  await ingestAsset(own.db, assetId, { signal, fetch: purgeThenFetch });
  assert.equal(await state(), 'purged');
  await ingestAsset(own.db, assetId, { signal });
  assert.equal(await state(), 'purged');
  await addAssets(own.db, purgedSite, ['/x']);
  await ingestAsset(own.db, assetId, { signal });
  assert.equal(await state(), 'ready');
  origin.close();
});

test('a purge takes an asset off every box and out of the catalogue', async () => {
  const boxId = await addBox(own.db);
  const asset = await addAsset(own.db, siteId, '/purge/1');
  await assign(own.db, { assets: { siteId, prefix: '/purge/' }, boxes: { boxIds: [boxId] }, ttlMs: null });
  assert.equal(await purge(own.db, { siteId, prefix: '/purge/' }), 1);
  assert.equal((await listPlacements(own.db, { boxId }))[0]?.desired, 'absent');
  await assert.rejects(
    assign(own.db, { assets: { assetIds: [asset.assetId] }, boxes: { boxIds: [boxId] }, ttlMs: null }),
    (error) => isHearthError(error, 'conflict'),
  );
});

test('boxes are chosen by count among those online with room; too few is said', async () => {
  await own.query('UPDATE boxes SET online = false');
  const heartbeat = (freeBytes: number, state: 'ok' | 'full' = 'ok'): Heartbeat => ({
    v: 1,
    at: new Date().toISOString(),
    bootId: '00000000-0000-4000-8000-000000000000',
    uptimeMs: 1,
    contentUrl: 'http://box.test',
    serving: { connections: 0, bytesPerSecond: 0, bytesTotal: 0 },
    store: { state, totalBytes: 1e9, freeBytes, usedBytes: 0, objects: 0 },
    rssBytes: 0,
    load: 0,
    refusedMessages: 0,
  });
  const small = await addBox(own.db, { online: true, heartbeat: heartbeat(5_000) });
  const large = await addBox(own.db, { online: true, heartbeat: heartbeat(50_000) });
  await addBox(own.db, { online: true, heartbeat: heartbeat(90_000, 'full') });
  await addBox(own.db, { online: false, heartbeat: heartbeat(90_000) });
  await addBox(own.db, { online: true, heartbeat: heartbeat(90_000), revokedAt: new Date() });
  const a = await addAsset(own.db, siteId, '/count/a', 4000);
  await assign(own.db, { assets: { assetIds: [a.assetId] }, boxes: { count: 1 }, ttlMs: null });
  assert.equal((await listPlacements(own.db, { boxId: large })).length, 1);
  await addAsset(own.db, siteId, '/count/b', 4000);
  const both = { assets: { siteId, prefix: '/count/' }, boxes: { count: 2 }, ttlMs: null };
  await assert.rejects(assign(own.db, both), /2 boxes are asked for; 1 are online/);
  await own.query(
    "UPDATE boxes SET heartbeat = jsonb_set(heartbeat, '{store,freeBytes}', '10000') WHERE id = $1",
    [small],
  );
  await assign(own.db, both);
  assert.equal((await listPlacements(own.db, { boxId: small })).length, 2);
});
