import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { lstat, mkdir, readdir, readFile, symlink, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { test } from 'node:test';
import { LIMITS } from '#protocol/limits.ts';
import { DiskLayout } from './layout.ts';
import { PART_BYTES, placeOf } from './object-file.ts';
import { ObjectFiles } from './object-files.ts';
import { tempFolder } from './store-fixture.ts';

const GIB = 1024 ** 3;
const SHA256 = 'ab'.repeat(32);

async function emptyDisk(t: Parameters<typeof tempFolder>[0]): Promise<DiskLayout> {
  const layout = new DiskLayout(await tempFolder(t, 'parts'));
  for (const folder of layout.folders) await mkdir(folder);
  return layout;
}

test('parts: no file of an object comes near what FAT32 takes, and no chunk lies in two', () => {
  assert.ok(PART_BYTES < 2 ** 32 - 1);
  for (let chunk: number = LIMITS.chunkSizeBytesMin; chunk <= 64 * 1024 * 1024; chunk *= 2) {
    assert.equal(PART_BYTES % chunk, 0);
  }
});

test('parts: five gigabytes are written and read across the borders, and removed without a trace', async (t) => {
  const layout = await emptyDisk(t);
  const files = new ObjectFiles(layout, { settleMs: 0 });
  const sizeBytes = 5 * GIB + 1000;
  const partial = await files.openPartial(SHA256, sizeBytes);
  // The rest is holes: only what is written takes room.
  const pieces = [0, 2 * GIB - 500, 4 * GIB - 1, sizeBytes - 1000].map((at) => ({
    at,
    bytes: randomBytes(1000),
  }));
  for (const { at, bytes } of pieces) await partial.write(bytes, at);
  await partial.commit();
  const names = await readdir(layout.objectParts(SHA256));
  assert.deepEqual(names.sort(), ['0000', '0001', '0002']);
  const sizes = await Promise.all(
    names.map(async (name) => (await lstat(path.join(layout.objectParts(SHA256), name))).size),
  );
  assert.deepEqual(sizes, [2 * GIB, 2 * GIB, GIB + 1000]);
  assert.equal(await files.sizeOf(SHA256), sizeBytes);
  assert.deepEqual(await readdir(layout.partial), []);

  const file = await files.openComplete(SHA256);
  for (const { at, bytes } of pieces) {
    const read = Buffer.alloc(bytes.length);
    for (let done = 0; done < read.length; ) {
      const { bytesRead } = await file.read(read, done, read.length - done, at + done);
      assert.ok(bytesRead > 0);
      done += bytesRead;
    }
    assert.ok(read.equals(bytes), `at ${at}`);
  }
  const border = placeOf(file, 2 * GIB - 500);
  assert.deepEqual([border.position, border.lengthBytes], [2 * GIB - 500, 500]);
  const second = placeOf(file, 2 * GIB);
  assert.deepEqual([second.position, second.lengthBytes], [0, 2 * GIB]);
  assert.notEqual(second.fd, border.fd);
  await file.close();

  await files.demote(SHA256, [0, 3]);
  assert.deepEqual(await files.begun(SHA256), { partial: true, journal: true });
  assert.equal(await files.sizeOf(SHA256), null);
  assert.deepEqual(await files.claimed(SHA256, 10), [0, 3]);
  await files.remove(SHA256);
  assert.deepEqual(await readdir(layout.partial), []);
});

test('parts: one that is missing or short is not complete; what is not ours stays', async (t) => {
  const layout = await emptyDisk(t);
  const files = new ObjectFiles(layout, { settleMs: 0, partBytes: 100 });
  const partial = await files.openPartial(SHA256, 250);
  const bytes = randomBytes(250);
  await partial.write(bytes, 0);
  await partial.commit();
  const folder = layout.objectParts(SHA256);
  assert.deepEqual(await readFile(path.join(folder, '0002')), bytes.subarray(200));
  await writeFile(path.join(folder, '0001'), 'short');
  assert.equal(await files.sizeOf(SHA256), -1);
  await writeFile(path.join(folder, 'mine.txt'), 'keep');
  await files.remove(SHA256);
  assert.deepEqual(await readdir(folder), ['mine.txt']);
  assert.equal(await files.sizeOf(SHA256), -1);
});

test('parts: a link in their place is not followed', async (t) => {
  const layout = await emptyDisk(t);
  const files = new ObjectFiles(layout, { settleMs: 0, partBytes: 100 });
  const outside = await tempFolder(t, 'outside');
  await symlink(outside, layout.partialParts(SHA256));
  await assert.rejects(files.openPartial(SHA256, 250), { code: 'disk_failing' });
  assert.deepEqual(await readdir(outside), []);
});
