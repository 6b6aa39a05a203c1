import assert from 'node:assert/strict';
import { after, before, beforeEach, describe, test } from 'node:test';
import { storeArtefact } from '#fleet/releases/artefacts.ts';
import { publish } from '#fleet/releases/metadata.ts';
import { RepositoryFixture } from '#fleet/releases/repository-fixture.ts';
import { addBox, type FleetDatabase, fleetDatabase } from '#fleet/testing/fleet-database.ts';
import type { Architecture, UpdateOrder, UpdateReport } from '#protocol/release.ts';
import type { RolloutDetail, RolloutPlan } from '#protocol/rollout.ts';
import { createRolloutSchema } from '#protocol/rollout.ts';
import { candidatesOf } from './candidates.ts';
import { driveRollouts } from './drive.ts';
import { leftOut, whyLeftOut } from './left-out.ts';
import { takeUpdateReport } from './reports.ts';
import { actOnRollout, createRollout } from './rollouts.ts';
import { rolloutDetail } from './views.ts';

const URLS = { metadataUrl: 'http://fleet.test/m', artefactsUrl: 'http://fleet.test/a' };
const MINUTE = 60_000;
let database: FleetDatabase;
before(async () => {
  database = await fleetDatabase();
  const repository = new RepositoryFixture();
  repository.add('1.0.0', { rollbackFrom: ['1.1.0'] }, 1000);
  repository.add('1.1.0', {}, 1000);
  repository.add('1.2.0', {}, 1000);
  for (const [sha256, bytes] of repository.bytes) {
    await storeArtefact(
      database.db,
      sha256,
      (async function* () {
        yield bytes;
      })(),
    );
  }
  await publish(database.db, repository.files());
});
after(() => database?.close());
beforeEach(() =>
  database.query('TRUNCATE rollout_events, rollout_targets, rollouts, box_updates, commands CASCADE'),
);

const reportOf = (
  version: string,
  update: UpdateReport['update'] = null,
  architecture: Architecture = 'arm64',
): UpdateReport => ({
  architecture,
  version,
  runs: 'installed',
  packaged: '1.0.0',
  rootVersion: 1,
  update,
});

/** A box that can be updated. */
async function box(
  more: { online?: boolean; architecture?: Architecture; label?: string } = {},
): Promise<string> {
  const { online = true, architecture = 'arm64', label = 'box' } = more;
  const id = await addBox(database.db, { online, label });
  await takeUpdateReport(database.db, id, reportOf('1.0.0', null, architecture));
  return id;
}
const boxes = async (count: number) => {
  const ids: string[] = [];
  for (let at = 0; at < count; at++) ids.push(await box({ label: `box ${at}` }));
  return ids;
};

/** What a box has been told and has not answered. */
async function orderOf(boxId: string): Promise<UpdateOrder | null | undefined> {
  const [row] = await database.query(
    `SELECT body FROM commands WHERE box_id = $1 AND subject = 'update' AND state = 'pending' ORDER BY created_at DESC LIMIT 1`,
    [boxId],
  );
  return (row?.body as { order: UpdateOrder | null } | undefined)?.order;
}

/** A box carries out what it was told. */
async function carryOut(boxId: string, state: 'updated' | 'failed' | 'trial' = 'updated'): Promise<void> {
  const order = await orderOf(boxId);
  assert.ok(order, `${boxId} was ordered to`);
  const reason = state === 'failed' ? { code: 'update_crashed', message: 'it crashed' } : null;
  const { updateId, version } = order;
  const update = { updateId, version, state, bytesDone: 0, sizeBytes: 0, reason };
  await takeUpdateReport(database.db, boxId, reportOf(state === 'updated' ? version : '1.0.0', update));
}

const begin = (more: object) =>
  createRollout(database.db, createRolloutSchema.parse({ version: '1.1.0', soakMs: 0, ...more }), 'ada');
/** Steps until nothing changes any more; `laterMs` from now. */
async function drive(laterMs = 0): Promise<void> {
  for (let step = 0; step < 8; step++) await driveRollouts(database.db, URLS, new Date(Date.now() + laterMs));
}
const look = (id: string): Promise<RolloutDetail> => rolloutDetail(database.db, id);
const told = async (ids: string[]) => {
  const found: string[] = [];
  for (const id of ids) if (await orderOf(id)) found.push(id);
  return found;
};
const stateOf = (detail: RolloutDetail, boxId: string) =>
  detail.targets.find((one) => one.boxId === boxId)?.state;

describe('a rollout', () => {
  test('goes from the canary over the soak to the next wave, and ends', async () => {
    const all = await boxes(10);
    const id = await begin({ waves: [10, 50, 100], soakMs: 10 * MINUTE });
    await drive();
    const [canary, ...others] = await told(all);
    assert.ok(canary && others.length === 0);
    const order = await orderOf(canary);
    assert.deepEqual(order, { updateId: `${id}-on-1`, version: '1.1.0', ...URLS, window: null });
    await carryOut(canary);
    await drive(5 * MINUTE);
    assert.equal((await look(id)).wave, 0);
    await drive(16 * MINUTE);
    assert.equal((await look(id)).wave, 1);
    const second = (await told(all)).filter((one) => one !== canary);
    assert.equal(second.length, 4);
    for (const one of second) await carryOut(one);
    await drive(17 * MINUTE);
    await drive(30 * MINUTE);
    for (const one of (await told(all)).filter((other) => other !== canary && !second.includes(other)))
      await carryOut(one);
    await drive(31 * MINUTE);
    await drive(45 * MINUTE);
    const end = await look(id);
    assert.deepEqual([end.state, end.waves.map(({ counts }) => counts.updated)], ['finished', [1, 4, 5]]);
    const kinds = end.events.map(({ kind }) => kind).reverse();
    assert.equal(kinds[0], 'created');
    assert.equal(kinds.at(-1), 'finished');
    assert.equal(kinds.filter((kind) => kind === 'box_updated').length, 10);
  });

  test('halts by itself and takes back what was updated, where there is a signed way', async () => {
    const all = await boxes(4);
    const id = await begin({ waves: [50, 100], successPercent: 90 });
    await drive();
    const [first = '', second = ''] = await told(all);
    await carryOut(first);
    await carryOut(second, 'failed');
    await drive();
    let detail = await look(id);
    assert.deepEqual([detail.state, detail.backTo], ['rolling_back', '1.0.0']);
    assert.match(detail.reason ?? '', /1 of 2 boxes failed/);
    assert.equal((await orderOf(first))?.version, '1.0.0');
    await carryOut(first);
    await drive();
    detail = await look(id);
    assert.deepEqual(
      [detail.state, stateOf(detail, first), stateOf(detail, second)],
      ['rolled_back', 'reverted', 'failed'],
    );
    assert.equal((await told(all)).length, 2);
  });

  test('halts where it is when there is no way back; resumed, it tries those that failed again', async () => {
    const [only = ''] = await boxes(1);
    const id = await begin({ version: '1.2.0' });
    await drive();
    await carryOut(only, 'failed');
    await drive();
    assert.equal((await look(id)).state, 'halted');
    await assert.rejects(actOnRollout(database.db, id, 'roll-back', 'ada'), /signed as a way back/);
    await actOnRollout(database.db, id, 'resume', 'ada');
    await drive();
    assert.equal((await orderOf(only))?.updateId, `${id}-on-2`);
    await carryOut(only);
    await drive();
    assert.equal((await look(id)).state, 'finished');
  });

  test('a box that fails during the soak, after it was kept, halts it', async () => {
    const [only = ''] = await boxes(1);
    const id = await begin({ version: '1.2.0', soakMs: MINUTE });
    await drive();
    await carryOut(only);
    await drive();
    assert.ok((await look(id)).waveMetAt);
    await carryOut(only, 'failed');
    await drive(2 * MINUTE);
    assert.equal((await look(id)).state, 'halted');
  });

  test('reports that come twice, late, or of another update change nothing', async () => {
    const [first = ''] = await boxes(2);
    const id = await begin({ version: '1.2.0', canaries: [first] });
    await drive();
    await carryOut(first, 'failed');
    await drive();
    await actOnRollout(database.db, id, 'resume', 'ada');
    await drive();
    const stale = {
      updateId: `${id}-on-1`,
      version: '1.2.0',
      state: 'updated' as const,
      bytesDone: 0,
      sizeBytes: 0,
      reason: null,
    };
    await takeUpdateReport(database.db, first, reportOf('1.2.0', stale));
    await takeUpdateReport(
      database.db,
      first,
      reportOf('1.2.0', { ...stale, updateId: 'roll-0000000000000000-on-1' }),
    );
    assert.equal(stateOf(await look(id), first), 'ordered');
    await carryOut(first);
    await carryOut(first);
    const { events } = await look(id);
    assert.equal(events.filter(({ kind }) => kind === 'box_updated').length, 1);
  });

  test('boxes that are away are not waited for, and are told when they come back, weeks later too', async () => {
    const here = await box();
    const away = await box({ online: false });
    const id = await begin({ waves: [100] });
    await drive();
    await carryOut(here);
    await drive();
    assert.equal((await look(id)).state, 'finished');
    assert.equal(await orderOf(away), undefined);
    await database.query('UPDATE boxes SET online = true WHERE id = $1', [away]);
    const young = await box();
    await drive(21 * 24 * 60 * MINUTE);
    assert.deepEqual(await told([away, young]), [away, young]);
    await carryOut(away);
    assert.equal(stateOf(await look(id), away), 'updated');
  });

  test('a box that is revoked on the way is not waited for', async () => {
    const [first = '', second = '', third = ''] = await boxes(3);
    const id = await begin({ waves: [100], atOnce: 2 });
    await drive();
    const [gone = '', stays = ''] = await told([first, second, third]);
    await carryOut(stays);
    await database.query('UPDATE boxes SET revoked_at = now() WHERE id = $1', [gone]);
    await drive();
    const last = [first, second, third].find((one) => one !== gone && one !== stays) ?? '';
    await carryOut(last);
    await drive();
    const detail = await look(id);
    assert.deepEqual([detail.state, stateOf(detail, gone)], ['finished', 'dropped']);
  });

  test('a box that was told and went away is not waited for, and is told again when it comes back', async () => {
    const [first = '', second = ''] = await boxes(2);
    const id = await begin({ waves: [100] });
    await drive();
    await carryOut(first);
    await database.query('UPDATE boxes SET online = false, last_seen_at = now() WHERE id = $1', [second]);
    await database.query("UPDATE commands SET state = 'done'");
    await drive(30 * MINUTE);
    assert.deepEqual([(await look(id)).state, stateOf(await look(id), second)], ['running', 'ordered']);
    await drive(61 * MINUTE);
    assert.deepEqual([(await look(id)).state, stateOf(await look(id), second)], ['finished', 'pending']);
    await database.query('UPDATE boxes SET online = true WHERE id = $1', [second]);
    await drive(62 * MINUTE);
    await carryOut(second);
    assert.equal(stateOf(await look(id), second), 'updated');
  });

  test('after the fleet itself was away nobody is thought lost before it could come back', async () => {
    const [only = ''] = await boxes(1);
    const id = await begin({ version: '1.2.0' });
    await drive();
    await carryOut(only, 'trial');
    await database.query('UPDATE boxes SET online = false WHERE id = $1', [only]);
    const late = new Date(Date.now() + 120 * MINUTE);
    await driveRollouts(database.db, URLS, late, new Date(late.getTime() - MINUTE));
    assert.equal(stateOf(await look(id), only), 'ordered');
    await driveRollouts(database.db, URLS, late, new Date(late.getTime() - 6 * MINUTE));
    assert.equal(stateOf(await look(id), only), 'failed');
  });

  test('an order that a box does not speak of is said again; one it speaks of is not', async () => {
    const [only = ''] = await boxes(1);
    await begin({});
    await drive();
    await database.query("UPDATE commands SET state = 'done'");
    await drive(30_000);
    assert.equal(await orderOf(only), undefined);
    await drive(2 * MINUTE);
    assert.ok(await orderOf(only));
    await carryOut(only, 'trial');
    await database.query("UPDATE commands SET state = 'done'");
    await drive(5 * MINUTE);
    assert.equal(await orderOf(only), undefined);
  });

  test('a box that falls silent on trial has failed, until it is heard of again', async () => {
    const [only = ''] = await boxes(1);
    const id = await begin({ version: '1.2.0' });
    await drive();
    await carryOut(only, 'trial');
    await database.query('UPDATE boxes SET online = false WHERE id = $1', [only]);
    await drive(30 * MINUTE);
    assert.equal(stateOf(await look(id), only), 'ordered');
    await drive(61 * MINUTE);
    const detail = await look(id);
    assert.deepEqual([detail.state, detail.targets[0]?.reason?.code], ['halted', 'lost']);
    await carryOut(only);
    assert.equal(stateOf(await look(id), only), 'updated');
  });

  test('is never for boxes of another processor, nor of a box that cannot be updated', async () => {
    const arm64 = await box();
    const armv7 = await box({ architecture: 'armv7' });
    const old = await addBox(database.db, { online: true });
    const rootless = await box();
    await takeUpdateReport(database.db, rootless, { ...reportOf('1.0.0'), rootVersion: null });
    const id = await begin({ waves: [100] });
    await drive();
    assert.deepEqual(await told([arm64, armv7, old, rootless]), [arm64]);
    assert.deepEqual(
      (await look(id)).targets.map(({ boxId }) => boxId),
      [arm64],
    );
  });

  test('is for the boxes its selector means: by processor, name, and pattern of names', async () => {
    const shop = await box({ label: 'shop-12 (50% off_\\back)' });
    const other = await box({ label: 'home' });
    const meant = async (selector: RolloutPlan['selector']) =>
      (await candidatesOf(database.db, { selector })).map(({ boxId }) => boxId);
    assert.deepEqual(await meant({}), [shop, other].sort());
    assert.deepEqual(await meant({ architectures: ['armv7'] }), []);
    assert.deepEqual(await meant({ architectures: ['armv7', 'arm64'], boxIds: [other] }), [other]);
    for (const [labels, isMeant] of [
      ['shop-*', true],
      ['*12*', true],
      ['shop-12', false],
      ['*)', true],
      ['s*p*x', false],
      ['(*', false],
      ['*50% off_\\*', true],
      ['shop_12*', false],
      ['shop%', false],
      ['*', true],
    ] as const) {
      assert.equal((await meant({ labels })).includes(shop), isMeant, labels);
    }
  });

  test('a box that comes later is admitted, however many there are that are not meant', async () => {
    const first = await box();
    const id = await begin({ waves: [100] });
    for (let made = 0; made < 201; made++) await box({ architecture: 'armv7' });
    // The last of all, in whatever order they are looked at.
    const late = `box-${'z'.repeat(16)}`;
    await database.query('UPDATE boxes SET id = $1 WHERE id = $2', [
      late,
      await addBox(database.db, { online: true }),
    ]);
    await takeUpdateReport(database.db, late, reportOf('1.0.0'));
    await drive();
    assert.deepEqual((await look(id)).targets.map(({ boxId }) => boxId).sort(), [first, late].sort());
  });

  test('one at a time; paused it tells nobody; halted and cancelled it takes its orders back', async () => {
    const all = await boxes(2);
    const id = await begin({ waves: [50, 100] });
    await assert.rejects(begin({}), /is running: end it first/);
    await actOnRollout(database.db, id, 'pause', 'ada');
    await drive();
    assert.deepEqual(await told(all), []);
    await actOnRollout(database.db, id, 'resume', 'ada');
    await drive();
    const [canary = ''] = await told(all);
    await actOnRollout(database.db, id, 'halt', 'ada');
    assert.equal(await orderOf(canary), null);
    await assert.rejects(actOnRollout(database.db, id, 'pause', 'ada'), /halted cannot/);
    await actOnRollout(database.db, id, 'cancel', 'ada');
    const { state, events } = await look(id);
    assert.equal(state, 'cancelled');
    assert.deepEqual(events.map(({ kind, operator }) => `${kind} ${operator}`).slice(0, 2), [
      'cancelled ada',
      'halted ada',
    ]);
    await begin({ version: '1.2.0' });
  });

  test('no more boxes are under way at once than it says', async () => {
    const all = await boxes(5);
    await begin({ waves: [100], atOnce: 2 });
    await drive();
    const first = await told(all);
    assert.equal(first.length, 2);
    await carryOut(first[0] ?? '');
    await drive();
    assert.equal((await told(all)).length, 3);
  });

  test('boxes are told the hours they may switch in; to go back they need not wait for them', async () => {
    const [only = ''] = await boxes(1);
    const window = { fromHour: 2, toHour: 5 };
    const id = await begin({ window });
    await drive();
    assert.deepEqual((await orderOf(only))?.window, window);
    await carryOut(only);
    await actOnRollout(database.db, id, 'roll-back', 'ada');
    await drive();
    const back = await orderOf(only);
    assert.deepEqual([back?.version, back?.window], ['1.0.0', null]);
  });

  test('many workers at once order each box once', async () => {
    const all = await boxes(6);
    const id = await begin({ waves: [100] });
    await Promise.all(Array.from({ length: 8 }, () => driveRollouts(database.db, URLS)));
    const [row] = await database.query("SELECT count(*)::int AS n FROM commands WHERE subject = 'update'");
    assert.equal(row?.n, all.length);
    assert.equal((await look(id)).waves[0]?.counts.ordered, all.length);
  });

  test('of what is not released, has expired, or is for nobody, there is none', async () => {
    await assert.rejects(begin({}), /No box that can be updated/);
    await box();
    await assert.rejects(begin({ version: '9.9.9' }), /not released here/);
    const later = new Date(Date.now() + 31 * 24 * 60 * MINUTE);
    await assert.rejects(
      createRollout(database.db, createRolloutSchema.parse({ version: '1.1.0' }), 'ada', later),
      /expired/,
    );
  });
});

test('boxes that no rollout reaches are named, with the reason', async () => {
  await database.query('TRUNCATE boxes CASCADE');
  const able = await box({ label: 'able' });
  const none = await addBox(database.db, { label: 'sources', lastSeenAt: new Date() });
  const rootless = await addBox(database.db, { label: 'rootless', lastSeenAt: new Date() });
  await takeUpdateReport(database.db, rootless, { ...reportOf('1.0.0'), rootVersion: null });
  await database.query('UPDATE boxes SET last_seen_at = now() WHERE id = $1', [able]);
  // Not here yet, and not any more: nothing is missing of them.
  await addBox(database.db, { label: 'new' });
  await addBox(database.db, { label: 'gone', lastSeenAt: new Date(), revokedAt: new Date() });
  assert.deepEqual(await leftOut(database.db), [
    { why: 'no_root', count: 1, boxes: [{ id: rootless, label: 'rootless' }] },
    { why: 'not_launched', count: 1, boxes: [{ id: none, label: 'sources' }] },
  ]);
  assert.deepEqual(await Promise.all([able, none, rootless].map((id) => whyLeftOut(database.db, id))), [
    null,
    'not_launched',
    'no_root',
  ]);
  for (let n = 0; n < 12; n++) await addBox(database.db, { label: `many ${n}`, lastSeenAt: new Date() });
  const [, many] = await leftOut(database.db);
  assert.deepEqual([many?.count, many?.boxes.length], [13, 10]);
});
