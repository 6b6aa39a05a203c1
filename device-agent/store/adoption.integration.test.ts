import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { mkdir, readdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { test } from 'node:test';
import type { AssetManifest } from '#protocol/asset.ts';
import { adoptContent, Leftovers } from './adoption.ts';
import { hold, MIB, manifestFor, openStore } from './store-fixture.ts';

const FILES = { partBytes: MIB, settleMs: 0 };

async function names(folder: string): Promise<string[]> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  return entries.filter((entry) => entry.isFile()).map((entry) => path.join(entry.parentPath, entry.name));
}

test('adoption: objects, in parts or whole, wait to be verified; all else of the other box goes, nothing else', async (t) => {
  const theirs = await openStore(t, { files: FILES });
  const { layout } = theirs.disk;
  const held: { bytes: Buffer; manifest: AssetManifest }[] = [];
  for (const size of [1000, 2 * MIB + 5, 3 * MIB]) {
    const bytes = randomBytes(size);
    const manifest = manifestFor(bytes, 'http://127.0.0.1/', { path: `/${size}` });
    await hold(theirs.store, bytes, manifest);
    held.push({ bytes, manifest });
  }
  const [small, large, unwanted] = held;
  assert.ok(small && large && unwanted);
  // Its name says that it is `small`, compressed: the other box's word for it.
  const copies = path.join(layout.encodings, small.manifest.sha256.slice(0, 2));
  await mkdir(copies, { recursive: true });
  await writeFile(path.join(copies, `${small.manifest.sha256}.br.${'0'.repeat(64)}`), 'something else');
  await writeFile(path.join(layout.deliveries, 'segment-000000000001.log'), 'theirs');
  await writeFile(path.join(layout.home, 'uplink.json'), '{}');
  const mine = [path.join(layout.home, 'letter.txt'), path.join(layout.deliveries, 'photo.jpg')];
  for (const file of mine) await writeFile(file, 'mine');
  await theirs.store.close();
  await theirs.disk.close();

  await adoptContent(layout);
  // As after a crash in the middle: it can be done again.
  await adoptContent(layout);
  const left = await names(layout.home);
  for (const file of mine) assert.ok(left.includes(file), file);
  const others = left.filter((file) => !mine.includes(file) && !file.startsWith(layout.adopted));
  assert.deepEqual(others, []);

  const ours = await openStore(t, { ...theirs, files: FILES });
  assert.deepEqual([...ours.store.catalog.assets.values()], []);
  const leftovers = new Leftovers(layout);
  t.after(() => leftovers.close());
  await leftovers.look();
  const total = held.reduce((sum, { bytes }) => sum + bytes.length, 0);
  assert.equal(leftovers.bytes, total);
  for (const { bytes, manifest } of [small, large]) {
    await ours.store.want(manifest, null, Date.now());
    assert.equal(
      ours.store.catalog.objects.get(manifest.sha256)?.state,
      'absent',
      'nothing is served unverified',
    );
    const object = await ours.store.manifestOf(manifest.sha256);
    assert.ok(object);
    const { partial, good } = await ours.store.openPartial(object, new AbortController().signal);
    assert.equal(good.size, object.hashes.length / 32, 'all of it is right, and need not be fetched');
    await ours.store.commit(partial);
    await partial.close();
    const file = await ours.store.openComplete(manifest.sha256);
    const first = await file.read(Buffer.alloc(1000), 0, 1000, 0);
    await file.close();
    assert.ok(first.buffer.equals(bytes.subarray(0, 1000)));
  }
  await leftovers.look();
  assert.equal(leftovers.bytes, unwanted.bytes.length);
  await leftovers.drop();
  assert.deepEqual(await readdir(layout.adopted), []);
  assert.equal(ours.store.catalog.objects.get(large.manifest.sha256)?.state, 'complete');
});
