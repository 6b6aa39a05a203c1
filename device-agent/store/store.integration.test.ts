import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import {
  mkdir,
  open,
  readdir,
  readFile,
  rename,
  rm,
  stat,
  symlink,
  truncate,
  writeFile,
} from 'node:fs/promises';
import path from 'node:path';
import { test } from 'node:test';
import { Clock } from '#agent/time/clock.ts';
import { newId } from '#protocol/ids.ts';
import type { IntegrityFinding } from './integrity.ts';
import { IntegrityCheck } from './integrity.ts';
import { proveChunk } from './spot-check.ts';
import type { StoreFixture } from './store-fixture.ts';
import { hold, MIB, manifestFor, openStore, silent, tempFolder, until } from './store-fixture.ts';

const bytes = randomBytes(3 * MIB + 77);

async function held(made: StoreFixture, more = {}) {
  const manifest = manifestFor(bytes, 'http://127.0.0.1/a', more);
  await hold(made.store, bytes, manifest);
  return manifest;
}

async function spoil(file: string, position: number): Promise<void> {
  const handle = await open(file, 'r+');
  await handle.write(Buffer.from([0, 1, 2, 3]), 0, 4, position);
  await handle.close();
}

function check(made: StoreFixture) {
  const found: IntegrityFinding[] = [];
  let finished = false;
  const integrity = new IntegrityCheck({
    store: made.store,
    clock: new Clock(),
    log: silent,
    options: {
      bytesPerSecond: 1e9,
      busy: () => false,
      onProgress: (damaged, end) => {
        found.push(...damaged);
        finished ||= end;
      },
    },
  });
  return { integrity, found, finished: () => finished };
}

test('store: what is held is known after a restart', async (t) => {
  const first = await openStore(t);
  const manifest = await held(first);
  const { store } = await openStore(t, first);
  const asset = store.catalog.find(manifest.siteId, manifest.path);
  assert.equal(asset?.object.state, 'complete');
  assert.deepEqual(asset?.headers, manifest.headers);
  assert.deepEqual([...store.orphans], []);
});

test('store: an object two assets share is stored once and goes with the last', async (t) => {
  const made = await openStore(t);
  const first = await held(made);
  const second = { ...first, assetId: newId('asset'), path: '/copy.mp4' };
  await made.store.want(second, null, Date.now());
  assert.equal(made.store.catalog.find(second.siteId, '/copy.mp4')?.object.state, 'complete');
  await made.store.unwant(first.assetId, 'deleted');
  await made.store.removeObject(first.sha256);
  const file = made.disk.layout.object(first.sha256);
  assert.ok((await stat(file)).isFile());
  await made.store.unwant(second.assetId, 'deleted');
  await made.store.removeObject(first.sha256);
  await assert.rejects(stat(file), { code: 'ENOENT' });
});

test('store: two manifests that contradict each other on one SHA-256 are not both taken', async (t) => {
  const made = await openStore(t);
  const manifest = await held(made);
  const liar = {
    ...manifest,
    assetId: newId('asset'),
    chunkHashes: manifest.chunkHashes.replace(/^./, (first) => (first === 'x' ? 'y' : 'x')),
  };
  await assert.rejects(made.store.want(liar, null, Date.now()), { code: 'conflict' });
});

test('store: an older command does not undo a newer one', async (t) => {
  const made = await openStore(t);
  const old = manifestFor(randomBytes(10), 'http://127.0.0.1/a');
  const fresh = { ...manifestFor(randomBytes(20), 'http://127.0.0.1/a'), assetId: old.assetId };
  await made.store.want(fresh, null, 2000);
  await made.store.want(old, null, 1000);
  assert.equal(made.store.catalog.assets.get(old.assetId)?.object.sha256, fresh.sha256);
});

test('store: objects without a manifest are orphans; their files can be taken up again', async (t) => {
  const made = await openStore(t);
  const manifest = await held(made);
  await made.store.unwant(manifest.assetId, 'deleted');
  // Killed before the object was removed.
  const { store } = await openStore(t, made);
  assert.deepEqual([...store.orphans], [manifest.sha256]);
  await store.want(manifest, null, Date.now());
  assert.equal(store.catalog.objects.get(manifest.sha256)?.state, 'complete');
  assert.deepEqual([...store.orphans], []);
});

test('store: a complete file cut short is not served', async (t) => {
  const made = await openStore(t);
  const manifest = await held(made);
  await truncate(made.disk.layout.object(manifest.sha256), 2 * MIB + 5);
  const { store } = await openStore(t, made);
  assert.equal(store.catalog.objects.get(manifest.sha256)?.state, 'partial');
});

test('store: killed between marking damage and moving the object, it is not served unchecked', async (t) => {
  const made = await openStore(t);
  const manifest = await held(made);
  await writeFile(made.disk.layout.journal(manifest.sha256), '0\n2\n3\n');
  const { store } = await openStore(t, made);
  const object = store.catalog.objects.get(manifest.sha256);
  assert.equal(object?.state, 'partial');
  assert.equal(object?.bytesDone, 2 * MIB + 77);
});

test('store: a journal is only a claim, and a torn one no harm', async (t) => {
  const made = await openStore(t);
  const manifest = manifestFor(bytes, 'http://127.0.0.1/a');
  await made.store.want(manifest, null, Date.now());
  const object = await made.store.manifestOf(manifest.sha256);
  assert.ok(object);
  const none = new AbortController().signal;
  const { partial } = await made.store.openPartial(object, none);
  await partial.write(bytes.subarray(0, MIB), 0);
  await partial.keep(0);
  await partial.close();
  await writeFile(made.disk.layout.journal(manifest.sha256), '0\n1\n2\n99\nx\n-1\n3', { flag: 'a' });
  const again = await made.store.openPartial(object, none);
  assert.deepEqual([...again.good], [0]);
  await again.partial.close();
});

test('store: a damaged manifest is passed over and left where it is', async (t) => {
  const made = await openStore(t);
  const manifest = await held(made);
  const file = path.join(made.disk.layout.assets, `${newId('asset')}.json`);
  await writeFile(file, '{"v":1');
  const { store } = await openStore(t, made);
  assert.equal(store.catalog.assetCount, 1);
  assert.equal(store.catalog.find(manifest.siteId, manifest.path)?.object.state, 'complete');
  assert.equal(await readFile(file, 'utf8'), '{"v":1');
});

test('store: links, folders, pipes and giants in the place of our files harm nothing', async (t) => {
  const made = await openStore(t);
  const { layout } = made.disk;
  const good = await held(made);
  const outside = await tempFolder(t, 'outside');
  const victim = path.join(outside, 'victim');
  await writeFile(victim, bytes);
  const others = Array.from({ length: 3 }, (_, n) =>
    manifestFor(randomBytes(MIB + n), 'http://127.0.0.1/', { path: `/${n}` }),
  );
  for (const other of others) await made.store.want(other, null, Date.now());
  const [linked, folder, journaled] = others;
  assert.ok(linked && folder && journaled);
  await truncate(victim, linked.sizeBytes);
  for (const { sha256 } of [linked, folder]) await mkdir(layout.objectDirectory(sha256), { recursive: true });
  await symlink(victim, layout.object(linked.sha256));
  await mkdir(layout.object(folder.sha256));
  await symlink(victim, layout.journal(journaled.sha256));
  const strange = async () => {
    const name = layout.manifest(newId('asset'));
    await mkdir(path.dirname(name), { recursive: true });
    return name;
  };
  await mkdir(await strange());
  await symlink(victim, await strange());
  await symlink('loop', path.join(layout.objects, good.sha256.slice(0, 2), 'f'.repeat(64)));
  const giant = await strange();
  await writeFile(giant, '');
  await truncate(giant, 3 * 2 ** 30);
  execFileSync('mkfifo', [await strange()]);
  const free = ['aa', 'bb', 'cc', 'dd'].find(
    (name) => ![good, ...others].some((m) => m.sha256.startsWith(name)),
  );
  await writeFile(path.join(layout.objects, free ?? 'ee'), 'a file where a folder should be');

  const { store, disk } = await openStore(t, made);
  const stateOf = (sha256: string) => store.catalog.objects.get(sha256)?.state;
  assert.equal(stateOf(good.sha256), 'complete');
  for (const other of others) assert.equal(stateOf(other.sha256), 'absent');
  const before = await readFile(victim);
  const never = new AbortController().signal;
  const manifest = await store.manifestOf(journaled.sha256);
  assert.ok(manifest);
  await assert.rejects(store.openPartial(manifest, never), {
    code: 'disk_failing',
    message: /is in the way.*remove it/,
  });
  assert.deepEqual(await readFile(victim), before, 'what a link leads to is not written');
  // A link gives way to the real object, a folder may hold something of the owner's.
  const fill = async (sha256: string) => {
    const wanted = await store.manifestOf(sha256);
    assert.ok(wanted);
    const { partial } = await store.openPartial(wanted, never);
    await store.commit(partial).finally(() => partial.close());
  };
  await fill(linked.sha256);
  assert.ok((await stat(layout.object(linked.sha256))).isFile());
  assert.deepEqual(await readFile(victim), before);
  await assert.rejects(fill(folder.sha256), { code: 'disk_failing', message: /is in the way: remove it/ });
  assert.equal(disk.state, 'ok');
});

test('store: a manifest that was damaged behind its back is made good by the next command', async (t) => {
  const made = await openStore(t);
  const manifest = await held(made);
  for (const damage of [
    () => writeFile(made.disk.layout.manifest(manifest.assetId), '{"v":1,"asset'),
    () => rm(made.disk.layout.manifest(manifest.assetId)),
  ]) {
    await damage();
    await assert.rejects(made.store.manifestOf(manifest.sha256));
    const twin = { ...manifest, assetId: newId('asset'), path: `/${newId('asset')}` };
    await made.store.want(twin, null, Date.now());
    await made.store.want(manifest, null, Date.now());
    assert.ok(await made.store.manifestOf(manifest.sha256));
  }
});

test('integrity: something else in the place of an object is as good as its loss', async (t) => {
  const made = await openStore(t);
  const manifest = await held(made);
  const { integrity } = check(made);
  t.after(() => integrity.close());
  const file = made.disk.layout.object(manifest.sha256);
  await rename(file, `${file}.away`);
  await symlink(`${file}.away`, file);
  integrity.recheck(manifest.sha256);
  await until(() => made.store.catalog.objects.get(manifest.sha256)?.state === 'absent', 'its loss is seen');
});

test('integrity: a flipped byte takes the object out of service, and only its chunk is to be fetched', async (t) => {
  const made = await openStore(t);
  const manifest = await held(made);
  await spoil(made.disk.layout.object(manifest.sha256), MIB + 100);
  const { integrity, found, finished } = check(made);
  t.after(() => integrity.close());
  integrity.start();
  await until(() => finished(), 'the check has finished');
  assert.deepEqual(found, [{ sha256: manifest.sha256, chunkIndex: 1 }]);
  const { running, checkedChunks, totalChunks, damagedChunks } = integrity.progress;
  assert.deepEqual([running, checkedChunks, totalChunks, damagedChunks], [false, 4, 4, 1]);
  const object = made.store.catalog.objects.get(manifest.sha256);
  assert.equal(object?.state, 'partial');
  assert.equal(object?.bytesDone, bytes.length - MIB);
  const chunks = await made.store.manifestOf(manifest.sha256);
  assert.ok(chunks);
  const { partial, good } = await made.store.openPartial(chunks, new AbortController().signal);
  assert.deepEqual([...good].sort(), [0, 2, 3]);
  await partial.close();
});

test('integrity: what is sound is verified; what has vanished is to be fetched again', async (t) => {
  const made = await openStore(t);
  const manifest = await held(made);
  const { integrity, found, finished } = check(made);
  t.after(() => integrity.close());
  integrity.start();
  await until(() => finished(), 'the check has finished');
  assert.deepEqual(found, []);
  const object = made.store.catalog.objects.get(manifest.sha256);
  assert.ok(object?.verifiedAt);
  const file = made.disk.layout.object(manifest.sha256);
  await rename(file, `${file}.away`);
  integrity.recheck(manifest.sha256);
  await until(() => object.state === 'absent', 'its loss is seen');
});

test('spot check: the SHA-256 of nonce and chunk, from the disk as it is', async (t) => {
  const made = await openStore(t);
  const manifest = await held(made);
  const nonce = randomBytes(16).toString('hex');
  const expected = createHash('sha256')
    .update(Buffer.from(nonce, 'hex'))
    .update(bytes.subarray(3 * MIB))
    .digest('hex');
  assert.equal(await proveChunk(made.store, manifest.sha256, 3, nonce), expected);
  await assert.rejects(proveChunk(made.store, manifest.sha256, 4, nonce), { code: 'not_held' });
  await assert.rejects(proveChunk(made.store, 'a'.repeat(64), 0, nonce), { code: 'not_held' });
  await spoil(made.disk.layout.object(manifest.sha256), 3 * MIB);
  assert.notEqual(await proveChunk(made.store, manifest.sha256, 3, nonce), expected);
});

test('store: nothing is left in the workshop once an object is complete', async (t) => {
  const made = await openStore(t);
  await held(made);
  assert.deepEqual(await readdir(made.disk.layout.partial), []);
});
