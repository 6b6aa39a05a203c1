import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { after, before, beforeEach, test } from 'node:test';
import { assign, listPlacements, purge, unassign } from '#fleet/assignments/assignments.ts';
import { revokeBox } from '#fleet/boxes/boxes.ts';
import { applyReports } from '#fleet/broker/reported-state.ts';
import { judgeEvictions } from '#fleet/evictions/verdict.ts';
import {
  addAsset,
  addBox,
  addSite,
  type FleetDatabase,
  fleetDatabase,
} from '#fleet/testing/fleet-database.ts';
import type { Heartbeat } from '#protocol/messages.ts';
import { noteLostBoxes, refillCopies } from './refill.ts';

const DAY_MS = 86_400_000;
const SIZE = 1000;

let own: FleetDatabase;
let siteId: string;
let serial = 0;
before(async () => {
  own = await fleetDatabase();
  ({ siteId } = await addSite(own.db));
});
after(() => own?.close());
// Each test has boxes of its own.
beforeEach(() => own.query('UPDATE boxes SET online = false, revoked_at = now()'));

/** An online box that says it may still write so much. */
async function box(roomBytes: number): Promise<string> {
  const heartbeat: Heartbeat = {
    v: 1,
    at: new Date().toISOString(),
    bootId: randomUUID(),
    uptimeMs: 1,
    contentUrl: 'http://box.test',
    serving: { connections: 0, bytesPerSecond: 0, bytesTotal: 0 },
    store: { state: 'ok', totalBytes: 1e12, freeBytes: 1e12, roomBytes, usedBytes: 0, objects: 0 },
    rssBytes: 1,
    load: 0,
    refusedMessages: 0,
  };
  return addBox(own.db, { online: true, heartbeat, lastSeenAt: new Date() });
}
type Asset = { assetId: string; sha256: string };
const newAsset = (): Promise<Asset> => addAsset(own.db, siteId, `/copies/${serial++}`, SIZE);
const want = (assets: Asset[], count: number, ttlMs: number | null = null) =>
  assign(own.db, { assets: { assetIds: assets.map((asset) => asset.assetId) }, boxes: { count }, ttlMs });
async function report(boxId: string, asset: Asset, state: 'held' | 'deleted'): Promise<void> {
  await applyReports(own.db, boxId, [{ ...asset, state, bytesDone: 1, reason: null }]);
}
async function evict(boxId: string, asset: Asset): Promise<string[]> {
  const message = {
    v: 1 as const,
    at: new Date().toISOString(),
    proposalId: randomUUID(),
    done: false,
    assets: [{ assetId: asset.assetId, sha256: asset.sha256 }],
  };
  return (await judgeEvictions(own.db, boxId, message)).vetoed.map((veto) => veto.assetId);
}
/** Where an asset is wanted. */
async function on({ assetId }: Asset, boxes: string[]): Promise<string[]> {
  const found: string[] = [];
  for (const boxId of boxes) {
    const placements = await listPlacements(own.db, { boxId });
    if (placements.some((one) => one.assetId === assetId && one.desired === 'held')) found.push(boxId);
  }
  return found;
}

test('a copy that a box puts out is made on another with room, and is not given back to who put it out', async () => {
  const [a, b] = [await box(9 * SIZE), await box(9 * SIZE)];
  const asset = await newAsset();
  await want([asset], 2);
  for (const boxId of [a, b]) await report(boxId, asset, 'held');
  const [c, small] = [await box(5 * SIZE), await box(SIZE / 2)];
  assert.equal(await refillCopies(own.db), 0, 'nothing is missing yet');
  assert.deepEqual(await evict(a, asset), []);
  await report(a, asset, 'deleted');
  assert.equal(await refillCopies(own.db), 1);
  assert.deepEqual(await on(asset, [a, b, c, small]), [b, c]);
  assert.equal(await refillCopies(own.db), 0);
  // Now it is missing on c as well, and nobody has room who has not put it out.
  await report(c, asset, 'held');
  assert.deepEqual(await evict(c, asset), []);
  await report(c, asset, 'deleted');
  await own.query('DELETE FROM placements WHERE box_id = ANY($1)', [[a, c]]);
  assert.equal(await refillCopies(own.db), 0);
  assert.deepEqual(await on(asset, [a, b, c, small]), [b]);
  // A box with room comes: it is looked at again, later.
  const late = await box(5 * SIZE);
  assert.equal(await refillCopies(own.db), 0, 'not at once');
  assert.equal(await refillCopies(own.db, new Date(Date.now() + 16_000)), 1);
  assert.deepEqual(await on(asset, [b, late]), [b, late]);
  assert.deepEqual(await evict(b, asset), [asset.assetId], 'the only one that holds it by now');
});

test('after a week a box may have back what it put out', async () => {
  const [a, b] = [await box(9 * SIZE), await box(9 * SIZE)];
  const asset = await newAsset();
  await want([asset], 2);
  for (const boxId of [a, b]) await report(boxId, asset, 'held');
  await evict(a, asset);
  await own.query('DELETE FROM placements WHERE box_id = $1', [a]);
  assert.equal(await refillCopies(own.db), 0);
  assert.equal(await refillCopies(own.db, new Date(Date.now() + 8 * DAY_MS)), 1);
  assert.deepEqual(await on(asset, [a, b]), [a, b]);
});

test('what is promised to a box counts as taken, over all that is missing at once', async () => {
  const [a, b] = [await box(99 * SIZE), await box(99 * SIZE)];
  const assets: Asset[] = [];
  for (let n = 0; n < 5; n++) assets.push(await newAsset());
  await want(assets, 2);
  for (const asset of assets) for (const boxId of [a, b]) await report(boxId, asset, 'held');
  const c = await box(2 * SIZE + 1);
  for (const asset of assets) assert.deepEqual(await evict(a, asset), []);
  assert.equal(await refillCopies(own.db), 2);
  assert.equal(await refillCopies(own.db, new Date(Date.now() + 16_000)), 0, 'they are on their way there');
  const held = await Promise.all(assets.map((asset) => on(asset, [c])));
  assert.equal(held.flat().length, 2);
});

test('a revoked box and one that is lost for a day leave copies to be made; one back in time leaves none', async () => {
  const [a, b, c] = [await box(9 * SIZE), await box(8 * SIZE), await box(7 * SIZE)];
  const asset = await newAsset();
  await want([asset], 2);
  assert.deepEqual(await on(asset, [a, b, c]), [a, b]);
  for (const boxId of [a, b]) await report(boxId, asset, 'held');
  await revokeBox(own.db, a);
  assert.equal(await refillCopies(own.db), 1);
  assert.deepEqual(await on(asset, [b, c]), [b, c]);
  const d = await box(6 * SIZE);
  await own.query('UPDATE boxes SET online = false WHERE id = $1', [b]);
  assert.equal(await noteLostBoxes(own.db, new Date(Date.now() + DAY_MS / 2)), 0);
  assert.equal(await noteLostBoxes(own.db, new Date(Date.now() + DAY_MS + 60_000)), 1);
  assert.equal(await noteLostBoxes(own.db, new Date(Date.now() + DAY_MS + 60_000)), 0, 'once');
  assert.equal(await refillCopies(own.db, new Date(Date.now() + 1000)), 1);
  assert.deepEqual(await on(asset, [b, c, d]), [b, c, d]);
  await own.query('UPDATE boxes SET online = true WHERE id = $1', [b]);
  await noteLostBoxes(own.db);
  assert.deepEqual(await own.query('SELECT * FROM lost_boxes'), []);
});

test('copies an operator takes away, purges or named by box are not made elsewhere', async () => {
  const boxes = [await box(9 * SIZE), await box(9 * SIZE), await box(9 * SIZE), await box(9 * SIZE)];
  const [a, b] = boxes;
  assert.ok(a && b);
  const [taken, purged, named] = [await newAsset(), await newAsset(), await newAsset()];
  await want([taken, purged], 3);
  await assign(own.db, {
    assets: { assetIds: [named.assetId] },
    boxes: { boxIds: [a, b] },
    ttlMs: null,
  });
  const [first] = await on(taken, boxes);
  assert.ok(first);
  await unassign(own.db, { assetIds: [taken.assetId] }, [first]);
  await purge(own.db, { assetIds: [purged.assetId] });
  for (const boxId of [a, b]) await report(boxId, named, 'held');
  assert.deepEqual(await evict(a, named), []);
  assert.equal(await refillCopies(own.db), 0);
  // Lowered, not forgotten: of the two that are left both are wanted.
  const [next] = await on(taken, boxes);
  assert.ok(next);
  for (const boxId of await on(taken, boxes)) await report(boxId, taken, 'held');
  assert.deepEqual(await evict(next, taken), []);
  assert.equal(await refillCopies(own.db), 1);
  assert.deepEqual(await own.query('SELECT copies FROM wanted_copies WHERE asset_id = $1', [taken.assetId]), [
    { copies: 2 },
  ]);
});

test('workers that look at once assign each copy once', async () => {
  const [a, b] = [await box(99 * SIZE), await box(99 * SIZE)];
  const assets: Asset[] = [];
  for (let n = 0; n < 8; n++) assets.push(await newAsset());
  await want(assets, 2);
  for (const asset of assets) for (const boxId of [a, b]) await report(boxId, asset, 'held');
  for (let n = 0; n < 3; n++) await box(9 * SIZE);
  for (const asset of assets) await evict(a, asset);
  const given = await Promise.all([refillCopies(own.db), refillCopies(own.db), refillCopies(own.db)]);
  assert.equal(
    given.reduce((sum, one) => sum + one, 0),
    assets.length,
  );
});
