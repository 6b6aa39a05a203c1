import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { test } from 'node:test';
import { newId } from '#protocol/ids.ts';
import type { AssetReport } from '#protocol/messages.ts';
import { IndexAssembly } from './reported-state.ts';

const entries = (count: number): AssetReport[] =>
  Array.from({ length: count }, () => ({
    assetId: newId('asset'),
    sha256: 'a'.repeat(64),
    state: 'held',
    bytesDone: 1,
    reason: null,
  }));
const page = (indexId: string, number: number, pages: number, assets: AssetReport[]) => ({
  v: 1 as const,
  at: new Date().toISOString(),
  indexId,
  page: number,
  pages,
  assets,
});

test('pages in any order and more than once make one index; a newer one replaces an unfinished one', () => {
  const assembly = new IndexAssembly();
  const [first, second] = [entries(2), entries(3)];
  const [old, id] = [randomUUID(), randomUUID()];
  assert.equal(assembly.add('box-a', page(old, 0, 2, entries(1))).whole, null);
  assert.equal(assembly.add('box-a', page(id, 1, 2, second)).whole, null);
  assert.equal(assembly.add('box-a', page(id, 1, 2, second)).whole, null);
  assert.deepEqual(assembly.add('box-a', page(id, 0, 2, first)).whole, [...first, ...second]);
  assert.equal(assembly.add('box-a', page(old, 1, 2, entries(1))).whole, null, 'the old one is gone');
});

test('indexes that are never finished do not pile up: the oldest is dropped and named', () => {
  const assembly = new IndexAssembly(10);
  const [a, b, c] = [randomUUID(), randomUUID(), randomUUID()];
  assert.deepEqual(assembly.add('box-a', page(a, 0, 2, entries(4))).dropped, []);
  assert.deepEqual(assembly.add('box-b', page(b, 0, 2, entries(4))).dropped, []);
  assert.deepEqual(assembly.add('box-c', page(c, 0, 2, entries(4))).dropped, ['box-a']);
  assert.equal(assembly.add('box-b', page(b, 1, 2, entries(1))).whole?.length, 5);
  assert.equal(assembly.add('box-a', page(a, 1, 2, entries(6))).whole, null);
  assembly.forget('box-a');
  assembly.forget('box-c');
  assert.deepEqual(
    assembly.add('box-b', page(b, 0, 2, entries(10))).dropped,
    [],
    'what is forgotten is not counted',
  );
});
