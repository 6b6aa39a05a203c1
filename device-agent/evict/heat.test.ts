import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { Ghosts } from './ghosts.ts';
import { Heat } from './heat.ts';

const HALF_LIFE = 100;

test('heat orders objects as the decayed sum of their uses would at any later time', () => {
  const uses = fc.array(
    fc.record({ at: fc.integer({ min: 1, max: 1000 }), uses: fc.double({ min: 0.1, max: 50, noNaN: true }) }),
    {
      minLength: 1,
      maxLength: 30,
    },
  );
  const heat = new Heat(HALF_LIFE, 0);
  const heatOf = (list: { at: number; uses: number }[]) =>
    list.toSorted((a, b) => a.at - b.at).reduce((sum, use) => heat.used(sum, use.at, use.uses), 0);
  const sumAt = (list: { at: number; uses: number }[], now: number) =>
    list.reduce((sum, use) => sum + use.uses * 2 ** -((now - use.at) / HALF_LIFE), 0);
  fc.assert(
    fc.property(uses, uses, fc.integer({ min: 1000, max: 3000 }), (one, other, now) => {
      const [a, b] = [sumAt(one, now), sumAt(other, now)];
      if (Math.abs(Math.log2(a / b)) < 1e-6) return;
      assert.equal(heatOf(one) > heatOf(other), a > b);
    }),
  );
});

test('ghosts: bounded, the warmest of those that share a place stay', () => {
  const ghosts = new Ghosts(8);
  for (let n = 0; n < 10_000; n++) ghosts.remember(n * 2 + 2, n);
  assert.equal(ghosts.recall(2), 0);
  assert.equal(ghosts.recall(20_000), 9_999);
  ghosts.remember(20_000, 1);
  assert.equal(ghosts.recall(20_000), 1);
});
