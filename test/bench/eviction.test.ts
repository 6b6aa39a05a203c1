import assert from 'node:assert/strict';
import { test } from 'node:test';
import { belady, heatRule, lru, traces } from './eviction-policies.ts';

test('the eviction rule hits at least as often as LRU, objects and bytes, and not more often than can be', () => {
  for (const trace of traces()) {
    const [ours, plain, best] = [heatRule(trace), lru(trace), belady(trace)];
    assert.ok(
      ours.objects >= plain.objects,
      `${trace.name}: ${ours.objects} and ${plain.objects} of objects`,
    );
    assert.ok(ours.bytes >= plain.bytes, `${trace.name}: ${ours.bytes} and ${plain.bytes} of bytes`);
    if (trace.name.includes('equal')) assert.ok(ours.objects <= best.objects, trace.name);
  }
});
