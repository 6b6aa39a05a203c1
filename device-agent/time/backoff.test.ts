import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { backoffMs } from './backoff.ts';

test('waits grow up to the cap and never exceed it, whatever the attempt', () => {
  fc.assert(
    fc.property(fc.nat(10_000), fc.double({ min: 0, max: 0.999999, noNaN: true }), (attempt, random) => {
      const ms = backoffMs({ baseMs: 1000, capMs: 60_000 }, attempt, () => random);
      assert.ok(ms >= 0 && ms <= 60_000);
      if (attempt < 5) assert.ok(ms <= 1000 * 2 ** attempt);
    }),
  );
  assert.equal(
    backoffMs({ baseMs: 1000, capMs: 60_000 }, 3, () => 0.5),
    4000,
  );
});
