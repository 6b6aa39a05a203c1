import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { readdir } from 'node:fs/promises';
import type { TestContext } from 'node:test';
import { test } from 'node:test';
import type { Store } from '#agent/store/store.ts';
import { hold, MIB, manifestFor, openStore, silent, until } from '#agent/store/store-fixture.ts';
import { Clock } from '#agent/time/clock.ts';
import type { AssetManifest } from '#protocol/asset.ts';
import type { Evictions } from '#protocol/evictions.ts';
import { Evictor } from './evictor.ts';

type Answer = (message: Evictions) => { vetoed: string[] } | 'silence' | 'offline';

/** A store of four objects of 1 MiB with a quota that can be lowered, and a fleet that answers as it is told. */
async function box(t: TestContext, answer: Answer) {
  const quota = { unit: 'bytes' as const, value: 4 * MIB };
  const { store, disk } = await openStore(t, {
    more: { bounds: () => ({ floorBytes: 0, quota }), probeMs: 20 },
  });
  disk.countBy(() => store.catalog.usedBytes);
  const told: Evictions[] = [];
  const evictor = new Evictor({
    store,
    clock: new Clock(),
    log: silent,
    verdictMs: 200,
    everyMs: 20,
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
  t.after(() => evictor.close());
  const put = async (name: string, pinned = false): Promise<AssetManifest> => {
    const bytes = randomBytes(MIB);
    const manifest = manifestFor(bytes, 'http://127.0.0.1/', { path: `/${name}` });
    await store.want(manifest, null, Date.now(), pinned);
    await hold(store, bytes, manifest);
    if (pinned) await store.want(manifest, null, Date.now() + 1, true);
    return manifest;
  };
  return { store, disk, evictor, told, quota, put };
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
