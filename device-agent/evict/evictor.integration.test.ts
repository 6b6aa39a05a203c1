import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { cp, readdir, statfs, writeFile } from 'node:fs/promises';
import path from 'node:path';
import type { TestContext } from 'node:test';
import { test } from 'node:test';
import type { Store } from '#agent/store/store.ts';
import {
  hold,
  MIB,
  manifestFor,
  mountTmpfs,
  needsRoot,
  openStore,
  silent,
  tempFolder,
  until,
} from '#agent/store/store-fixture.ts';
import { Clock } from '#agent/time/clock.ts';
import type { AssetManifest } from '#protocol/asset.ts';
import type { Evictions } from '#protocol/evictions.ts';
import { Evictor } from './evictor.ts';

type Answer = (message: Evictions) => { vetoed: string[] } | 'silence' | 'offline';

/** A store of four objects of 1 MiB with a quota that can be lowered, and a fleet that answers as it is told. */
async function box(
  t: TestContext,
  answer: Answer,
  earlier: { root?: string; stateDir?: string } = {},
  aloneAfterMs = 0,
  clock = new Clock(),
) {
  const quota = { unit: 'bytes' as const, value: 4 * MIB };
  const { store, disk, root, stateDir } = await openStore(t, {
    ...earlier,
    more: { bounds: () => ({ floorBytes: 0, quota }), probeMs: 20 },
  });
  disk.countBy(() => store.catalog.usedBytes);
  const told: Evictions[] = [];
  const evictor = new Evictor({
    store,
    clock,
    log: silent,
    verdictMs: 200,
    everyMs: 20,
    aloneAfterMs,
    propose: async (message) => {
      const said = answer(message);
      if (said === 'offline') return false;
      told.push(message);
      if (said !== 'silence' && !message.done) {
        const vetoed = said.vetoed.map((assetId) => ({ assetId, why: 'test' }));
        setImmediate(() => evictor.verdict({ v: 1, proposalId: message.proposalId, vetoed }));
      }
      return true;
    },
    replan: () => undefined,
  });
  await evictor.recall();
  t.after(() => evictor.close());
  const put = async (name: string, pinned = false): Promise<AssetManifest> => {
    const bytes = randomBytes(MIB);
    const manifest = manifestFor(bytes, 'http://127.0.0.1/', { path: `/${name}` });
    await store.want(manifest, null, Date.now(), pinned);
    await hold(store, bytes, manifest);
    if (pinned) await store.want(manifest, null, Date.now() + 1, true);
    return manifest;
  };
  return { store, disk, evictor, told, quota, put, places: { root, stateDir } };
}

const heldPaths = (store: Store) =>
  Array.from(store.catalog.assets.values(), (asset) => asset.path).toSorted();

test('evict: a lower quota puts out what is least asked for, and never what is pinned; bytes and files are gone', async (t) => {
  const { store, disk, evictor, quota, put, told } = await box(t, () => ({ vetoed: [] }));
  const used = await put('used');
  await put('cold');
  await put('pinned', true);
  const often = await put('often');
  evictor.used(used.assetId, MIB, 1);
  for (let n = 0; n < 5; n++) evictor.used(often.assetId, MIB, 1);
  quota.value = 3 * MIB;
  await until(() => store.catalog.usedBytes <= quota.value, 'the quota is kept');
  assert.deepEqual(heldPaths(store), ['/often', '/pinned', '/used']);
  quota.value = MIB;
  await until(() => store.catalog.usedBytes <= quota.value, 'the quota is kept again');
  assert.deepEqual(heldPaths(store), ['/pinned']);
  quota.value = 0;
  await new Promise((resolve) => setTimeout(resolve, 300));
  assert.deepEqual(heldPaths(store), ['/pinned'], 'pinned never');
  let files = 0;
  for (const folder of await readdir(disk.layout.objects))
    files += (await readdir(`${disk.layout.objects}/${folder}`)).length;
  assert.equal(files, 1);
  assert.ok(told.every((message) => !message.done));
});

test('evict: what has expired goes before what nobody asked for', async (t) => {
  const { store, evictor, quota, put } = await box(t, () => ({ vetoed: [] }));
  const old = await put('old');
  for (let n = 0; n < 9; n++) evictor.used(old.assetId, MIB, 1);
  await put('cold');
  await store.want(old, Date.now() - 1000, Date.now() + 5);
  quota.value = MIB;
  await until(() => store.catalog.usedBytes <= quota.value, 'the quota is kept');
  assert.deepEqual(heldPaths(store), ['/cold']);
});

test('evict: a veto is kept as long as something else can go; the quota counts more when nothing else can', async (t) => {
  const vetoed: string[] = [];
  const { store, evictor, quota, put, told } = await box(t, () => ({ vetoed }));
  const only = await put('only');
  const warm = await put('warm');
  vetoed.push(only.assetId);
  for (let n = 0; n < 3; n++) evictor.used(warm.assetId, MIB, 1);
  quota.value = MIB;
  await until(() => store.catalog.usedBytes <= quota.value, 'the quota is kept');
  assert.deepEqual(heldPaths(store), ['/only']);
  quota.value = 0;
  await until(() => store.catalog.usedBytes === 0, 'the disk is the household’s');
  await until(
    () => told.some((m) => m.done && m.assets.some((a) => a.assetId === only.assetId)),
    'it is told',
  );
});

/** A box that was killed right after the fleet had vetoed one of its two objects, the colder. */
async function killedAfterVeto(t: TestContext) {
  const places = { root: await tempFolder(t, 'disk'), stateDir: await tempFolder(t, 'state') };
  const program = path.join(import.meta.dirname, 'veto-program.ts');
  const life = spawnSync(process.execPath, [program, places.root, places.stateDir], { encoding: 'utf8' });
  assert.equal(life.signal, 'SIGKILL', life.stderr);
  return { places, ...(JSON.parse(life.stdout) as { only: string; warm: string }) };
}

test('evict: what the fleet wanted kept is known after SIGKILL, with no fleet to ask', async (t) => {
  const { places } = await killedAfterVeto(t);
  const { store, quota, evictor } = await box(t, () => 'offline', places);
  assert.deepEqual(heldPaths(store), ['/only', '/warm']);
  quota.value = MIB;
  await store.disk.look();
  evictor.wake();
  await until(() => store.catalog.usedBytes <= quota.value, 'the quota is kept');
  assert.deepEqual(heldPaths(store), ['/only'], 'the colder is kept: it may be the only copy');
});

test('evict: a veto ends when it would have ended, and counts in full where the clock is not set', async (t) => {
  const { places, only, warm } = await killedAfterVeto(t);
  const hour = 3_600_000;
  for (const [local, kept] of [
    [() => Date.now() + 0.9 * hour, only],
    [() => 1000, only],
    [() => Date.now() + 1.1 * hour, warm],
  ] as const) {
    const copy = await tempFolder(t, 'copy');
    await cp(places.root, copy, { recursive: true });
    const stateDir = await tempFolder(t, 'state');
    await cp(places.stateDir, stateDir, { recursive: true });
    const life = await box(t, () => 'offline', { root: copy, stateDir }, 0, new Clock(local));
    life.quota.value = MIB;
    await life.store.disk.look();
    life.evictor.wake();
    await until(() => life.store.catalog.usedBytes <= MIB, 'the quota is kept');
    assert.deepEqual(
      Array.from(life.store.catalog.assets.values(), ({ assetId }) => assetId),
      [kept],
    );
    await life.evictor.close();
  }
});

for (const how of ['silence', 'offline'] as const) {
  test(`evict: with ${how} from the fleet the box goes by its own rule, and tells of it later`, async (t) => {
    let state: 'silence' | 'offline' | 'heard' = how;
    const { store, quota, put, told, evictor } = await box(t, () =>
      state === 'heard' ? { vetoed: [] } : state,
    );
    const cold = await put('cold');
    quota.value = 0;
    await until(() => store.catalog.usedBytes === 0, 'room is made without an answer');
    state = 'heard';
    evictor.linked();
    await until(() => told.some((m) => m.done && m.assets[0]?.assetId === cold.assetId), 'it is told');
  });
}

test('evict: a fleet that comes a moment later is asked all the same', async (t) => {
  let only: AssetManifest | null = null;
  let state: 'offline' | 'heard' = 'offline';
  const answer: Answer = () => (state === 'offline' ? state : { vetoed: only ? [only.assetId] : [] });
  const { store, quota, put, evictor } = await box(t, answer, {}, 600_000);
  only = await put('only');
  const warm = await put('warm');
  evictor.used(warm.assetId, MIB, 1);
  quota.value = MIB;
  await new Promise((resolve) => setTimeout(resolve, 200));
  assert.deepEqual(heldPaths(store), ['/only', '/warm'], 'it is waited for');
  state = 'heard';
  evictor.linked();
  await until(() => store.catalog.usedBytes <= quota.value, 'the quota is kept');
  assert.deepEqual(heldPaths(store), ['/only']);
});

test('evict: a fleet that does not come is not waited for without end', async (t) => {
  const { store, quota, put } = await box(t, () => 'offline', {}, 300);
  await put('cold');
  quota.value = 0;
  await until(() => store.catalog.usedBytes === 0, 'room is made');
});

test('evict: a box that was cut off tells what it put out after a restart, and knows what that was worth', async (t) => {
  const offline = await box(t, () => 'offline');
  const [cold, hot] = [await offline.put('cold'), await offline.put('hot')];
  for (let n = 0; n < 30; n++) offline.evictor.used(hot.assetId, MIB, 1);
  const heat = offline.store.catalog.objects.get(hot.sha256)?.heat ?? 0;
  offline.quota.value = 0;
  await until(() => offline.store.catalog.usedBytes === 0, 'room is made without an answer');
  // Nothing is closed: the power went.
  const after = await box(t, () => ({ vetoed: [] }), offline.places);
  await until(
    () => after.told.flatMap((message) => (message.done ? message.assets : [])).length === 2,
    'both are told',
  );
  assert.deepEqual(
    after.told.flatMap((message) => message.assets.map((asset) => asset.assetId)).toSorted(),
    [cold.assetId, hot.assetId].toSorted(),
  );
  await after.store.want(hot, null, Date.now() + 10);
  const back = after.store.catalog.objects.get(hot.sha256)?.heat ?? 0;
  assert.ok(back > heat, `${back} after ${heat}`);
  const newcomer = manifestFor(randomBytes(MIB), 'http://127.0.0.1/', { path: '/newcomer' });
  await after.store.want(newcomer, null, Date.now());
  assert.ok((after.store.catalog.objects.get(newcomer.sha256)?.heat ?? back) < back - 3);
  // Told once and for all.
  await after.evictor.close();
  const third = await box(t, () => ({ vetoed: [] }), offline.places);
  third.evictor.linked();
  await new Promise((resolve) => setTimeout(resolve, 100));
  assert.deepEqual(third.told, []);
});

test('evict: what the fleet has asked for again is not told as gone', async (t) => {
  let state: 'offline' | 'heard' = 'offline';
  const { store, quota, put, told, evictor } = await box(t, () =>
    state === 'heard' ? { vetoed: [] } : state,
  );
  const [first, second] = [await put('first'), await put('second')];
  quota.value = 0;
  await until(() => store.catalog.usedBytes === 0, 'room is made');
  quota.value = 4 * MIB;
  await store.want(first, null, Date.now() + 1000);
  state = 'heard';
  evictor.linked();
  await until(() => told.length > 0, 'it is told');
  assert.deepEqual(
    told.flatMap((message) => message.assets.map((asset) => asset.assetId)),
    [second.assetId],
  );
});

test('evict: a disk without a byte left is relieved', needsRoot, async (t) => {
  const root = await mountTmpfs(t, 8 * MIB);
  const { store, quota, put, evictor } = await box(t, () => 'offline', { root });
  for (const name of ['a', 'b', 'c']) await put(name);
  await store.saveIndex();
  await writeFile(path.join(root, 'the owner’s'), randomBytes(8 * MIB)).catch(() => undefined);
  assert.equal((await statfs(root)).bavail, 0);
  quota.value = 0;
  await store.disk.look();
  evictor.wake();
  await until(() => store.catalog.usedBytes === 0, 'room is made');
});

test('evict: a newcomer that waits for room displaces what is colder than it is, and nothing else', async (t) => {
  const { store, evictor, quota, put } = await box(t, () => ({ vetoed: [] }));
  const hot = await put('hot');
  for (let n = 0; n < 5; n++) evictor.used(hot.assetId, MIB, 2);
  quota.value = MIB;
  const bytes = randomBytes(MIB);
  const newcomer = manifestFor(bytes, 'http://127.0.0.1/', { path: '/new' });
  await store.want(newcomer, null, Date.now());
  const wait = () => {
    const object = store.catalog.objects.get(newcomer.sha256);
    assert.ok(object);
    object.failure = { code: 'disk_full', message: 'no room', attempts: 1, retryAtMs: 1e15 };
    store.changed(object);
    return object;
  };
  wait();
  await new Promise((resolve) => setTimeout(resolve, 200));
  assert.deepEqual(heldPaths(store), ['/hot', '/new'], 'what is hotter stays');
  evictor.used(newcomer.assetId, 20 * MIB, 20);
  const object = wait();
  await until(() => store.catalog.usedBytes === 0, 'room is made for what is worth more');
  assert.deepEqual(heldPaths(store), ['/new']);
  await until(() => object.failure === null, 'it need not wait any longer');
});
