import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { open, readFile, truncate, writeFile } from 'node:fs/promises';
import type { TestContext } from 'node:test';
import { test } from 'node:test';
import type { AssetManifest } from '#protocol/asset.ts';
import { PartialObject } from './object-files.ts';
import type { StoreFixture } from './store-fixture.ts';
import { hold, MIB, manifestFor, openStore } from './store-fixture.ts';

/** Long enough that nothing settles during a test. */
const UNSETTLED = { settleMs: 3_600_000 };

/** Bytes that never reached the disk, although it had said so. */
async function zero(file: string, from: number, length: number): Promise<void> {
  const handle = await open(file, 'r+');
  await handle.write(Buffer.alloc(length), 0, length, from);
  await handle.close();
}

async function goodChunks(fixture: StoreFixture, manifest: AssetManifest): Promise<number[]> {
  const object = await fixture.store.manifestOf(manifest.sha256);
  assert.ok(object);
  const { partial, good } = await fixture.store.openPartial(object, new AbortController().signal);
  await partial.close();
  return [...good];
}

async function held(t: TestContext, sizeBytes: number, files = UNSETTLED) {
  const fixture = await openStore(t, { files });
  const bytes = randomBytes(sizeBytes);
  const manifest = manifestFor(bytes, 'http://127.0.0.1/');
  await hold(fixture.store, bytes, manifest);
  return { ...fixture, bytes, manifest };
}

test('power loss: an object completed a moment before, whose tail never reached the disk, is not served', async (t) => {
  const before = await held(t, 3 * MIB + 10);
  const { manifest } = before;
  const { layout } = before.disk;
  assert.equal(before.store.catalog.objects.get(manifest.sha256)?.state, 'complete');
  await zero(layout.object(manifest.sha256), 2 * MIB, MIB + 10);
  const after = await openStore(t, before);
  assert.equal(after.store.catalog.objects.get(manifest.sha256)?.state, 'partial');
  assert.deepEqual(await goodChunks(after, manifest), [0, 1], 'and what has, is kept');
});

test('power loss: so it is with one in parts, of which the last are short', async (t) => {
  const files = { ...UNSETTLED, partBytes: MIB };
  const before = await held(t, 3 * MIB + 10, files);
  const { manifest } = before;
  const parts = before.disk.layout.objectParts(manifest.sha256);
  await truncate(`${parts}/0002`, 100);
  await truncate(`${parts}/0003`, 0);
  const after = await openStore(t, { ...before, files });
  assert.equal(after.store.catalog.objects.get(manifest.sha256)?.state, 'partial');
  assert.deepEqual(await goodChunks(after, manifest), [0, 1]);
});

test('power loss: after a proper end nothing is in doubt', async (t) => {
  const before = await held(t, 2 * MIB);
  await before.store.close();
  await before.disk.close();
  const after = await openStore(t, before);
  assert.equal(after.store.catalog.objects.get(before.manifest.sha256)?.state, 'complete');
});

test('power loss: after some seconds it is no longer in doubt, and what is done to it meanwhile counts', async (t) => {
  const before = await held(t, 2 * MIB, { settleMs: 30 });
  const { store, disk, manifest } = before;
  const journal = disk.layout.journal(manifest.sha256);
  const isThere = () =>
    readFile(journal).then(
      () => true,
      () => false,
    );
  for (let turn = 0; (await isThere()) && turn < 500; turn++)
    await new Promise((resolve) => setTimeout(resolve, 10));
  assert.equal(await isThere(), false);
  const second = await held(t, 2 * MIB, { settleMs: 100 });
  await second.store.demote(second.manifest.sha256, new Set([0]), 'a test');
  await new Promise((resolve) => setTimeout(resolve, 400));
  assert.deepEqual(
    await goodChunks(second, second.manifest),
    [1],
    'its journal is not taken for a settled one',
  );
  assert.equal(store.catalog.objects.get(manifest.sha256)?.state, 'complete');
});

test('power loss: a journal is ahead of the bytes, cut off, or full of zeros: only what is right counts', async (t) => {
  const fixture = await openStore(t);
  const bytes = randomBytes(4 * MIB);
  const manifest = manifestFor(bytes, 'http://127.0.0.1/');
  await fixture.store.want(manifest, null, Date.now());
  const object = await fixture.store.manifestOf(manifest.sha256);
  assert.ok(object);
  const { partial } = await fixture.store.openPartial(object, new AbortController().signal);
  assert.ok(partial instanceof PartialObject);
  for (const index of [0, 1, 2]) {
    await partial.write(bytes.subarray(index * MIB, (index + 1) * MIB), index * MIB);
    await partial.keep(index);
  }
  await partial.keep(3);
  await partial.close();
  await zero(fixture.disk.layout.partialObject(manifest.sha256), MIB + 1000, 4096);
  assert.deepEqual(await goodChunks(fixture, manifest), [0, 2]);
  await truncate(fixture.disk.layout.partialObject(manifest.sha256), 2 * MIB + 1);
  assert.deepEqual(await goodChunks(fixture, manifest), [0]);
  const journal = fixture.disk.layout.journal(manifest.sha256);
  await writeFile(journal, Buffer.concat([Buffer.from('0\n1'), Buffer.alloc(500)]));
  assert.deepEqual(await goodChunks(fixture, manifest), [0]);
  await writeFile(journal, Buffer.alloc(4096));
  assert.deepEqual(await goodChunks(fixture, manifest), []);
});

test('power loss: a manifest that is empty, cut off or full of zeros costs that asset alone', async (t) => {
  const before = await openStore(t);
  const manifests: AssetManifest[] = [];
  for (const index of [0, 1, 2, 3]) {
    const bytes = randomBytes(1000 + index);
    const manifest = manifestFor(bytes, 'http://127.0.0.1/', { path: `/${index}` });
    await hold(before.store, bytes, manifest);
    manifests.push(manifest);
  }
  const fileOf = (index: number) => before.disk.layout.manifest(manifests[index]?.assetId ?? '');
  await truncate(fileOf(0), 0);
  await truncate(fileOf(1), 100);
  await writeFile(fileOf(2), Buffer.alloc(900));
  const after = await openStore(t, before);
  const known = Array.from(after.store.catalog.assets.values(), (asset) => asset.assetId);
  assert.deepEqual(known, [manifests[3]?.assetId]);
});
