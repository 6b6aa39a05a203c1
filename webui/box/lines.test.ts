import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Activity } from '#protocol/http-box.ts';
import { mergeNewest } from './lines.ts';

const item = (seq: number, boot = 'a'): Activity => ({
  seq,
  at: `${boot}${seq}`,
  kind: 'started',
  detail: {},
});
const merge = (before: Activity[], fresh: Activity[]) => mergeNewest(before, fresh, 200);
const seqs = (items: Activity[]) => items.map((each) => each.seq);

test('what is fresh goes on top, newest first, and nothing stands there twice', () => {
  const before = [item(3), item(2), item(1)];
  assert.deepEqual(seqs(merge(before, [item(4), item(5)])), [5, 4, 3, 2, 1]);
  assert.deepEqual(seqs(merge(before, [item(2), item(3), item(4)])), [4, 3, 2, 1]);
  assert.deepEqual(merge(before, []), before);
});

test('after a restart of the box its new list takes the place of the old one', () => {
  const before = [item(9), item(8)];
  assert.deepEqual(seqs(merge(before, [item(1, 'b'), item(2, 'b')])), [2, 1]);
  assert.deepEqual(seqs(merge([item(300), item(299)], [item(299, 'b'), item(300, 'b')])), [300, 299]);
});

test('the list is bounded', () => {
  const before = Array.from({ length: 200 }, (_, index) => item(200 - index));
  const merged = merge(before, [item(201)]);
  assert.equal(merged.length, 200);
  assert.equal(merged[0]?.seq, 201);
});
