import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { open, truncate, writeFile } from 'node:fs/promises';
import path from 'node:path';
import type { TestContext } from 'node:test';
import { test } from 'node:test';
import { tempFolder, until } from '#agent/store/store-fixture.ts';
import { Buffers } from '../buffers.ts';
import { OpenFiles } from '../open-files.ts';
import type { Piece } from './piece-cache.ts';
import { PIECE_BYTES, PieceCache } from './piece-cache.ts';

/** Objects `a`, `b`, ... of so many pieces and 100 bytes more. */
async function cacheOf(t: TestContext, limitPieces: number, names: string, pieces: number) {
  const folder = await tempFolder(t, 'pieces');
  const contents = new Map<string, Buffer>();
  for (const name of names) {
    const bytes = randomBytes(pieces * PIECE_BYTES + 100);
    contents.set(name, bytes);
    await writeFile(path.join(folder, name), bytes);
  }
  let opened = 0;
  const files = new OpenFiles((key) => {
    opened++;
    return open(path.join(folder, key), 'r');
  }, 8);
  t.after(() => files.close());
  const cache = new PieceCache(limitPieces * PIECE_BYTES, files, new Buffers());
  const sizeBytes = pieces * PIECE_BYTES + 100;
  const load = async (key: string, index: number, count = 1): Promise<Piece> => {
    const file = await files.acquire(key);
    try {
      return await new Promise((resolve, reject) => {
        const taken = cache.load(file, key, sizeBytes, index, count, (piece, error) =>
          piece ? resolve(piece) : reject(error),
        );
        if (!taken) reject(new Error('no room'));
      });
    } finally {
      files.release(file);
    }
  };
  /** As a response does it: from memory, else read; let go when sent. */
  const use = async (key: string, index: number): Promise<boolean> => {
    const found = cache.get(key, index);
    if (!found) cache.drop(await load(key, index));
    return found !== undefined;
  };
  const isRight = (key: string, piece: Piece) =>
    contents
      .get(key)
      ?.subarray(piece.start, piece.start + piece.bytes.length)
      .equals(piece.bytes);
  return { cache, files, folder, load, use, isRight, sizeBytes, opened: () => opened };
}

test('pieces: read together, kept, each where it belongs, the last one short', async (t) => {
  const { cache, load, isRight } = await cacheOf(t, 8, 'a', 3);
  const first = await load('a', 0, 4);
  assert.ok(isRight('a', first));
  for (const index of [1, 2, 3]) {
    const piece = cache.get('a', index);
    assert.ok(piece && isRight('a', piece), `piece ${index}`);
    assert.equal(piece.start, index * PIECE_BYTES);
  }
  assert.equal(cache.get('a', 3)?.bytes.length, 100);
  assert.equal(cache.get('a', 4), undefined);
});

test('pieces: readers of one piece share one read and one buffer', async (t) => {
  const { load, files } = await cacheOf(t, 8, 'a', 4);
  await load('a', 3);
  const all = await Promise.all([load('a', 0), load('a', 0), load('a', 0)]);
  assert.ok(all.every((piece) => piece === all[0]));
  await until(() => files.idle === 1, 'every reader has let the file go');
});

test('pieces: the bound holds, what is held is neither put out nor overwritten', async (t) => {
  const { cache, load, use, isRight } = await cacheOf(t, 4, 'ab', 6);
  const held = [await load('a', 0), await load('a', 1)];
  for (let round = 0; round < 3; round++) {
    for (let index = 0; index < 6; index++) {
      await use('b', index);
      assert.ok(cache.bytes <= 4 * PIECE_BYTES);
    }
  }
  for (const piece of held) assert.ok(isRight('a', piece));
  const more = [await load('a', 2), await load('a', 3)];
  await assert.rejects(load('a', 4), /no room/);
  for (const piece of [...held, ...more]) cache.drop(piece);
  cache.drop(await load('a', 4));
  assert.ok(cache.bytes <= 4 * PIECE_BYTES);
});

test('pieces: one scan of a large object leaves what is used often', async (t) => {
  const { cache, use } = await cacheOf(t, 16, 'ab', 60);
  for (let round = 0; round < 4; round++) for (let index = 0; index < 8; index++) await use('a', index);
  for (let index = 0; index < 60; index++) await use('b', index);
  for (let index = 0; index < 8; index++) assert.ok(cache.has('a', index), `piece ${index} is still here`);
});

test('pieces: what comes back soon after it was put out is kept from then on', async (t) => {
  const { cache, use } = await cacheOf(t, 8, 'ab', 60);
  for (let index = 0; index < 8; index++) await use('a', index);
  for (let index = 0; index < 20; index++) await use('b', index);
  assert.ok(!cache.has('a', 0));
  await use('a', 0);
  for (let index = 20; index < 50; index++) await use('b', index);
  assert.ok(cache.has('a', 0));
});

test('pieces: withdrawn ones are gone at once, while they are read too; who holds one keeps it', async (t) => {
  const { cache, load, use, isRight, files, sizeBytes } = await cacheOf(t, 4, 'ab', 4);
  const held = await load('a', 0);
  const file = await files.acquire('a');
  const arrived = new Promise<Piece | null>((resolve) => {
    cache.load(file, 'a', sizeBytes, 1, 1, resolve);
  });
  cache.withdraw('a');
  files.withdraw('a');
  assert.equal(cache.get('a', 0), undefined);
  const late = await arrived;
  assert.ok(late && isRight('a', late));
  assert.equal(cache.has('a', 1), false);
  for (let index = 0; index < 4; index++) await use('b', index);
  assert.ok(isRight('a', held) && isRight('a', late));
  cache.drop(held);
  cache.drop(late);
  files.release(file);
  cache.clear();
  assert.equal(cache.bytes, 0);
});

test('pieces: a file that ends early is an error for all who wait, and nothing of it is kept', async (t) => {
  const { cache, load, folder } = await cacheOf(t, 8, 'a', 4);
  await truncate(path.join(folder, 'a'), PIECE_BYTES + 5);
  const results = await Promise.allSettled([load('a', 1, 2), load('a', 1)]);
  for (const result of results) assert.equal(result.status, 'rejected');
  assert.equal(cache.has('a', 1), false);
  assert.equal(cache.bytes, 0);
});

test('pieces: a slice apart is right and is not kept', async (t) => {
  const { cache, files, isRight } = await cacheOf(t, 2, 'a', 4);
  const file = await files.acquire('a');
  const slice = (start: number) =>
    new Promise<Piece | null>((resolve) => cache.loadApart(file, start, 70_000, 300, resolve));
  const [one, two] = await Promise.all([slice(1_234), slice(PIECE_BYTES - 10)]);
  assert.ok(one && two && isRight('a', one) && isRight('a', two));
  assert.ok(one.bytes.length > 0 && one.bytes.length <= 70_000);
  assert.equal(cache.bytes, 0);
  cache.drop(one);
  cache.drop(two);
  files.release(file);
});

test('pieces: a small object is whole and its own', async (t) => {
  const { cache, files } = await cacheOf(t, 2, 'a', 0);
  const file = await files.acquire('a');
  const bytes = await cache.readSmall(file, 'a', 100);
  assert.equal(bytes.buffer.byteLength, 100);
  const hash = createHash('sha256').update(bytes).digest('hex');
  cache.withdraw('a');
  await cache.readSmall(file, 'a', 100);
  assert.equal(createHash('sha256').update(bytes).digest('hex'), hash);
  files.release(file);
});
