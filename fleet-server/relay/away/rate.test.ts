import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Rate } from './rate.ts';

test('so many at once, then at the rate; what is given back counts; many names cost a bound of memory', () => {
  let nowMs = 0;
  const rate = new Rate({ perSecond: 0.5, burst: 3, most: 2 }, () => nowMs);
  const took = (name: string, times: number) => Array.from({ length: times }, () => rate.may(name));
  assert.deepEqual(took('a', 4), [true, true, true, false]);
  rate.refund('a');
  assert.deepEqual(took('a', 2), [true, false]);
  nowMs += 2_000;
  assert.deepEqual(took('a', 2), [true, false]);
  nowMs += 3_600_000;
  assert.deepEqual(took('a', 4), [true, true, true, false]);
  // Who is forgotten begins anew.
  rate.may('b');
  rate.may('c');
  assert.equal(rate.may('a'), true);
});
