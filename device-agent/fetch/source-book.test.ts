import assert from 'node:assert/strict';
import { test } from 'node:test';
import { SourceBook } from './source-book.ts';

const peer = (boxId: string, lan = false) => ({ boxId, url: `http://${boxId}/`, lan });

test('boxes next door come first, then the fastest; one never asked before one known to be slow', () => {
  const book = new SourceBook(() => 0);
  book.good('slow', 1_000, 1_000);
  book.good('fast', 1_000_000, 1_000);
  const order = book.choose([peer('slow'), peer('fast'), peer('new'), peer('near', true)], 4);
  assert.deepEqual(
    order.map((one) => one.boxId),
    ['near', 'new', 'fast', 'slow'],
  );
  assert.equal(book.choose(order, 2).length, 2);
  assert.equal(book.expectedMs('fast', 5_000), 5);
  assert.equal(book.expectedMs('new', 5_000), null);
});

test('one that fails is left longer each time, one that lied for an hour; a good chunk mends the first', () => {
  let now = 0;
  const book = new SourceBook(() => now);
  book.failed('a');
  assert.equal(book.shuns('a'), true);
  now += 10_001;
  assert.equal(book.shuns('a'), false);
  book.failed('a');
  now += 10_001;
  assert.equal(book.shuns('a'), true);
  now += 10_000;
  book.good('a', 1, 1);
  book.failed('a');
  now += 10_001;
  assert.equal(book.shuns('a'), false);
  book.lied('a');
  now += 3_599_000;
  assert.equal(book.shuns('a'), true);
});

test('what is remembered is bounded', () => {
  const book = new SourceBook(() => 0);
  for (let n = 0; n < 1_000; n++) book.failed(`box-${n}`);
  assert.equal(book.size, 256);
  assert.equal(book.shuns('box-999'), true);
});
