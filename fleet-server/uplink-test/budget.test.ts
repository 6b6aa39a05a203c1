import assert from 'node:assert/strict';
import { test } from 'node:test';
import { TestBudget } from './budget.ts';

const LIMITS = { bytes: 1_000, windowMs: 60_000, atOnce: 2, allAtOnce: 3 };

test('one network has so many bytes in a window, an IPv6 household by its /64', () => {
  let now = 0;
  const budget = new TestBudget(LIMITS, () => now);
  budget.begin('192.0.2.1', 600)();
  assert.throws(() => budget.begin('192.0.2.1', 600), { code: 'rate_limited' });
  budget.begin('192.0.2.2', 600)();
  budget.begin('2001:db8:0:1::1', 600)();
  assert.throws(() => budget.begin('2001:db8:0:1::2', 600), { code: 'rate_limited' });
  now = 60_000;
  budget.begin('192.0.2.1', 600)();
});

test('requests at once are bounded, by network and in all; an end counts once', () => {
  const budget = new TestBudget(LIMITS, () => 0);
  const end = budget.begin('192.0.2.1', 1);
  budget.begin('192.0.2.1', 1);
  assert.throws(() => budget.begin('192.0.2.1', 1), { code: 'rate_limited' });
  end();
  end();
  budget.begin('192.0.2.1', 1);
  assert.throws(() => budget.begin('192.0.2.1', 1), { code: 'rate_limited' });
  budget.begin('192.0.2.2', 1);
  assert.throws(() => budget.begin('192.0.2.3', 1), { code: 'rate_limited' });
});

test('networks remembered are bounded', () => {
  const budget = new TestBudget({ ...LIMITS, allAtOnce: 1e9 }, () => 0);
  for (let n = 0; n < 20_000; n++) budget.begin(`10.${n >> 16}.${(n >> 8) & 255}.${n & 255}`, 1)();
  assert.ok(budget.networks <= 10_000);
});
