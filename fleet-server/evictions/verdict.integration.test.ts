import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { after, before, test } from 'node:test';
import { assign, listPlacements } from '#fleet/assignments/assignments.ts';
import { reconcileBox } from '#fleet/assignments/reconcile.ts';
import { applyReports } from '#fleet/broker/reported-state.ts';
import { bodyOf, due } from '#fleet/commands/outbox.ts';
import {
  addAsset,
  addBox,
  addSite,
  type FleetDatabase,
  fleetDatabase,
} from '#fleet/testing/fleet-database.ts';
import { judgeEvictions } from './verdict.ts';

let own: FleetDatabase;
let siteId: string;
before(async () => {
  own = await fleetDatabase();
  ({ siteId } = await addSite(own.db));
});
after(() => own?.close());

type Held = { assetId: string; sha256: string };
const proposal = (assets: Held[], done = false) => ({
  v: 1 as const,
  at: new Date().toISOString(),
  proposalId: randomUUID(),
  done,
  assets,
});

/** An asset that these boxes hold; two of them are online unless said otherwise. */
async function held(path: string, boxes: string[]): Promise<Held> {
  const { assetId, sha256 } = await addAsset(own.db, siteId, path);
  await assign(own.db, { assets: { assetIds: [assetId] }, boxes: { boxIds: boxes }, ttlMs: null });
  for (const boxId of boxes) {
    const report = { assetId, sha256, state: 'held' as const, bytesDone: 1, reason: null };
    await applyReports(own.db, boxId, [report]);
  }
  return { assetId, sha256 };
}
const desired = async (boxId: string, { assetId }: Held) =>
  (await listPlacements(own.db, { boxId })).find((placement) => placement.assetId === assetId)?.desired;

test('what another online box holds may go, and is not sent back; the only copy stays', async () => {
  const [a, b, off] = [
    await addBox(own.db, { online: true }),
    await addBox(own.db, { online: true }),
    await addBox(own.db, { online: false }),
  ];
  const twice = await held('/twice', [a, b]);
  const once = await held('/once', [a, off]);
  const { vetoed, proposalId } = await judgeEvictions(own.db, a, proposal([twice, once]));
  assert.match(proposalId, /^[0-9a-f-]{36}$/);
  assert.deepEqual(
    vetoed.map((veto) => veto.assetId),
    [once.assetId],
  );
  assert.equal(await desired(a, twice), 'absent');
  assert.equal(await desired(b, twice), 'held');
  assert.equal(await desired(a, once), 'held');
  await applyReports(own.db, a, [{ ...twice, state: 'deleted', bytesDone: 0, reason: null }]);
  await reconcileBox(own.db, a);
  assert.deepEqual(
    (await due(own.db, a)).filter((command) => command.type === 'cache'),
    [],
  );
  const again = await judgeEvictions(own.db, a, proposal([twice, once]));
  assert.deepEqual(again.vetoed, vetoed, 'the same answer for the same question');
});

test('what is pinned stays, and its box is told so', async () => {
  const [a, b] = [await addBox(own.db, { online: true }), await addBox(own.db, { online: true })];
  const asset = await held('/pinned', [a, b]);
  const request = {
    assets: { assetIds: [asset.assetId] },
    boxes: { boxIds: [a] },
    ttlMs: null,
    pinned: true,
  };
  await assign(own.db, request);
  const sent = (await due(own.db, a)).find((command) => command.type === 'cache');
  assert.ok(sent, 'a change of mind is sent');
  const body = await bodyOf(own.db, sent);
  assert.equal(body?.type === 'cache' && body.pinned, true);
  const { vetoed } = await judgeEvictions(own.db, a, proposal([asset]));
  assert.deepEqual(vetoed, [{ assetId: asset.assetId, why: 'it is pinned to this box' }]);
});

test('two boxes that propose the same at once do not put out both copies', async () => {
  const [a, b] = [await addBox(own.db, { online: true }), await addBox(own.db, { online: true })];
  const assets: Held[] = [];
  for (let n = 0; n < 5; n++) assets.push(await held(`/race/${n}`, [a, b]));
  const verdicts = await Promise.all([
    judgeEvictions(own.db, a, proposal(assets)),
    judgeEvictions(own.db, b, proposal(assets.toReversed())),
  ]);
  assert.deepEqual(verdicts.map(({ vetoed }) => vetoed.length).toSorted(), [0, 5]);
});

test('what is done is taken note of, strangers and other bytes are no copy', async () => {
  const [a, b] = [await addBox(own.db, { online: true }), await addBox(own.db, { online: true })];
  const gone = await held('/gone', [a]);
  assert.deepEqual((await judgeEvictions(own.db, a, proposal([gone], true))).vetoed, []);
  assert.equal(await desired(a, gone), 'absent');
  const older = await held('/older', [a, b]);
  await applyReports(own.db, b, [
    { ...older, sha256: 'f'.repeat(64), state: 'held', bytesDone: 1, reason: null },
  ]);
  assert.equal((await judgeEvictions(own.db, a, proposal([older]))).vetoed.length, 1);
  const stranger = { assetId: 'asset-0000000000000000', sha256: 'a'.repeat(64) };
  assert.deepEqual((await judgeEvictions(own.db, a, proposal([stranger]))).vetoed, []);
});
