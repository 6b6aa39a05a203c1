import assert from 'node:assert/strict';
import { test } from 'node:test';
import { DialLimit } from './dial-limit.ts';

test('a box may dial some times at once and then seldom; others are not held up by it', () => {
  let now = 1_000;
  const limit = new DialLimit(() => now);
  let taken = 0;
  for (let n = 0; n < 100; n++) if (limit.may('box-a')) taken++;
  assert.equal(taken, 20);
  assert.ok(limit.may('box-b'));
  now += 2_000;
  assert.ok(limit.may('box-a'));
  assert.ok(!limit.may('box-a'));
  now += 40_000;
  for (let n = 0; n < 20; n++) assert.ok(limit.may('box-a'));
});
