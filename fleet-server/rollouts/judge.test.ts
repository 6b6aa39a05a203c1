import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import type { RolloutPlan } from '#protocol/rollout.ts';
import { rolloutPlanSchema } from '#protocol/rollout.ts';
import { wavesOf } from './choose.ts';
import type { Standing } from './judge.ts';
import { judge } from './judge.ts';

const NONE = { pending: 0, ordered: 0, updated: 0, failed: 0, reverting: 0, reverted: 0, dropped: 0 };
const at = (more: Partial<Omit<Standing, 'counts'>> & { counts?: Partial<Standing['counts']> }) =>
  judge({
    plan: { successPercent: 90, soakMs: 1000 },
    waves: 3,
    wave: 0,
    waveMetAtMs: null,
    orderable: 0,
    nowMs: 10_000,
    ...more,
    counts: { ...NONE, ...more.counts },
  }).do;

describe('what a rollout does next', () => {
  test('one canary that fails is enough', () => {
    assert.equal(at({ counts: { failed: 1 } }), 'halt');
  });
  test('it halts past what may fail, and not before', () => {
    assert.equal(at({ counts: { pending: 89, updated: 1, failed: 10 } }), 'wait');
    assert.equal(at({ counts: { pending: 88, updated: 1, failed: 11 } }), 'halt');
  });
  test('nobody has come through yet: no news is not good news', () => {
    assert.equal(at({ counts: { pending: 5 } }), 'wait');
    assert.equal(at({ counts: { ordered: 1 } }), 'wait');
  });
  test('boxes that are away are not waited for, those that could be told are', () => {
    assert.equal(at({ counts: { pending: 5, updated: 3 } }), 'met');
    assert.equal(at({ counts: { pending: 5, updated: 3 }, orderable: 1 }), 'wait');
  });
  test('a wave without boxes is passed; the soak is waited for; the last wave ends it', () => {
    assert.equal(at({}), 'met');
    assert.equal(at({ waveMetAtMs: 9_500, counts: { updated: 1 } }), 'wait');
    assert.equal(at({ waveMetAtMs: 9_000, counts: { updated: 1 } }), 'next-wave');
    assert.equal(at({ waveMetAtMs: 9_000, counts: { updated: 1 }, wave: 2 }), 'finish');
  });
  test('a box that falls during the soak sets it back, or halts it', () => {
    assert.equal(at({ waveMetAtMs: 9_500, counts: { updated: 10, ordered: 5 } }), 'unmet');
    assert.equal(at({ waveMetAtMs: 9_500, counts: { updated: 1, failed: 1 } }), 'halt');
  });
});

const planOf = (more: Partial<RolloutPlan>): RolloutPlan => rolloutPlanSchema.parse(more);
const ids = (count: number) => Array.from({ length: count }, (_, index) => `box-${index}`);

describe('who is in which wave', () => {
  test('each box in one wave, by percentages of all, the same at each asking', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 300 }), fc.string(), (count, salt) => {
        const plan = planOf({ waves: [5, 25, 100] });
        const waves = wavesOf(salt, plan, ids(count));
        assert.equal(waves.size, count);
        assert.deepEqual(wavesOf(salt, plan, ids(count).reverse()), waves);
        const upTo = (wave: number) => [...waves.values()].filter((own) => own <= wave).length;
        assert.equal(upTo(0), Math.max(1, Math.ceil(count * 0.05)));
        assert.ok(upTo(1) >= Math.ceil(count * 0.25));
        assert.equal(upTo(2), count);
      }),
    );
  });
  test('another rollout begins with other boxes', () => {
    const first = (salt: string) =>
      [...wavesOf(salt, planOf({}), ids(100))].filter(([, wave]) => wave === 0).map(([id]) => id);
    assert.notDeepEqual(first('a'), first('b'));
  });
  test('canaries that are named are the first wave', () => {
    const plan = planOf({ canaries: ['box-0123456789abcdef'] });
    const waves = wavesOf('x', plan, [...ids(40), 'box-0123456789abcdef']);
    assert.deepEqual(
      [...waves].filter(([, wave]) => wave === 0),
      [['box-0123456789abcdef', 0]],
    );
  });
});
