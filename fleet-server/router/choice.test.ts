import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Candidate, choose } from './choice.ts';

const box = (boxId: string, load: Partial<Candidate> = {}): Candidate => ({
  boxId,
  contentUrl: 'http://box.test',
  connections: 0,
  bytesPerSecond: 0,
  sentLately: 0,
  ...load,
});

test('nobody is chosen from none, and the one from one', () => {
  assert.equal(choose([], Math.random), null);
  assert.equal(choose([box('a')], () => 0.99)?.boxId, 'a');
});

test('of two drawn, the less loaded is chosen, whichever is drawn first', () => {
  const pair = [box('busy', { connections: 9 }), box('idle')];
  for (const value of [0, 0.3, 0.6, 0.99]) assert.equal(choose(pair, () => value)?.boxId, 'idle');
  const bytes = [box('busy', { bytesPerSecond: 50e6 }), box('idle', { connections: 3 })];
  for (const value of [0, 0.99]) assert.equal(choose(bytes, () => value)?.boxId, 'idle');
});

test('a burst is spread over equal boxes', () => {
  const boxes = Array.from({ length: 10 }, (_, index) => box(`box ${index}`));
  let seed = 1;
  const random = () => {
    seed = (seed * 48271) % 2147483647;
    return seed / 2147483647;
  };
  for (let client = 0; client < 1000; client++) {
    const chosen = choose(boxes, random);
    if (chosen) chosen.sentLately++;
  }
  for (const { sentLately } of boxes) assert.ok(sentLately > 80 && sentLately < 120, `${sentLately} of 1000`);
});
