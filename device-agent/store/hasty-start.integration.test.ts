import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { mkdirSync, renameSync, symlinkSync, truncateSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import type { AssetManifest } from '#protocol/asset.ts';
import { newId } from '#protocol/ids.ts';
import { chunkCount, chunkSizeFor } from '#protocol/limits.ts';
import { DiskLayout } from './layout.ts';
import { MIB, manifestFor, openStore, tempFolder, until } from './store-fixture.ts';

/** More than a start reads with care before it serves. */
const MANY = 1_100;
const PATIENCE_MS = 120_000;

test('store: a disk with many manifests and no snapshot is read in haste, and what that misses is set right', async (t) => {
  const root = await tempFolder(t, 'disk');
  const layout = new DiskLayout(root);
  for (const folder of layout.folders) mkdirSync(folder, { recursive: true });
  const named = (name: string): AssetManifest =>
    manifestFor(Buffer.from(`bytes of ${name}`), 'http://127.0.0.1/', { path: `/${name}` });
  const want = (asset: AssetManifest, more: object = {}) => {
    mkdirSync(layout.manifestShard(asset.assetId), { recursive: true });
    const record = { v: 1, asset, expiresAtMs: null, issuedAtMs: 1, ...more };
    writeFileSync(layout.manifest(asset.assetId), JSON.stringify(record));
  };
  const hold = ({ sha256, sizeBytes }: AssetManifest) => {
    mkdirSync(layout.objectDirectory(sha256), { recursive: true });
    writeFileSync(layout.object(sha256), '');
    truncateSync(layout.object(sha256), sizeBytes);
  };
  const put = (name: string) => {
    const asset = named(name);
    want(asset);
    hold(asset);
    return asset;
  };
  const [held, short, pinned, old, twice] = [
    put('held'),
    put('cut short'),
    put('pinned'),
    put('where they once lay'),
    put('in both places'),
  ];
  const gone = named('object gone');
  want(gone);
  truncateSync(layout.object(short.sha256), 3);
  want(pinned, { pinned: true, expiresAtMs: Date.now() + 3_600_000 });
  renameSync(layout.manifest(old.assetId), layout.oldManifest(old.assetId));
  renameSync(layout.manifest(twice.assetId), layout.oldManifest(twice.assetId));
  want({ ...twice, path: '/newer word' }, { issuedAtMs: 2 });
  const [foreign, garbage, linked, hashless] = [
    put('says another id'),
    put('garbage'),
    put('a link'),
    put('without its hash'),
  ];
  const write = (asset: AssetManifest, text: string) => writeFileSync(layout.manifest(asset.assetId), text);
  write(foreign, JSON.stringify({ v: 1, asset: { ...foreign, assetId: newId('asset') }, issuedAtMs: 1 }));
  write(garbage, '{"v":1,');
  want({ ...hashless, chunkHashes: '' });
  const target = path.join(root, 'elsewhere.json');
  renameSync(layout.manifest(linked.assetId), target);
  symlinkSync(target, layout.manifest(linked.assetId));
  // Longer than what is read of most.
  const chunkSizeBytes = chunkSizeFor(400 * MIB);
  const large: AssetManifest = {
    ...named('many chunks'),
    sizeBytes: 400 * MIB,
    sha256: randomBytes(32).toString('hex'),
    chunkSizeBytes,
    chunkHashes: randomBytes(32 * chunkCount(400 * MIB, chunkSizeBytes)).toString('base64url'),
  };
  assert.ok(large.chunkHashes.length > 16_384);
  want(large);
  hold(large);
  for (let n = 0; n < MANY; n++) want(named(`filler ${n}`));

  const { store } = await openStore(t, { root });
  await until(() => !store.isLoading, 'all is read', PATIENCE_MS);
  const stateOf = (asset: AssetManifest) => store.catalog.assets.get(asset.assetId)?.object.state;
  for (const asset of [held, pinned, old, large]) assert.equal(stateOf(asset), 'complete', asset.path);
  assert.equal(store.catalog.assets.get(pinned.assetId)?.pinned, true);
  assert.ok(store.catalog.assets.get(pinned.assetId)?.expiresAtMs);
  assert.equal(stateOf(gone), 'absent');
  for (const asset of [foreign, garbage, linked]) assert.equal(stateOf(asset), undefined, asset.path);
  assert.equal(store.catalog.find(twice.siteId, '/newer word')?.object.state, 'complete');
  assert.equal(store.catalog.find(twice.siteId, twice.path), undefined);
  // The audit comes to all of it in the end.
  await until(() => stateOf(short) !== 'complete', 'what is too short is found', PATIENCE_MS);
  await until(() => stateOf(hashless) === undefined, 'what could never be checked is let go', PATIENCE_MS);
  assert.equal(store.catalog.assetCount, MANY + 7);
  await store.close();
});
