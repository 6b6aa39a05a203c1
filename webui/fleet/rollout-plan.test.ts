import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createRolloutSchema, rolloutPlanSchema } from '#protocol/rollout.ts';
import { faultsOf, type RolloutDraft, readWaves, requestOf } from './rollout-plan.ts';

const draft: RolloutDraft = {
  ...{ version: '1.4.0', waves: '5, 25, 100', soak: 'hour', success: '90', labels: '' },
  ...{ window: null, rollBack: true },
};

// The form and the fleet must agree, or a form would let through what is then refused, or the reverse.
for (const [text, fine] of [
  ['5, 25, 100', true],
  ['5 25 100', true],
  ['5%，25%，100%', true],
  ['0.5,100', true],
  ['100', true],
  ['0,100', true],
  ['', false],
  ['5,25', false],
  ['25,5,100', false],
  ['5,5,100', false],
  ['5,101', false],
  ['-5,100', false],
  ['five,100', false],
  [Array.from({ length: 21 }, (_, at) => at + 80).join(), false],
] as const) {
  test(`waves "${text.slice(0, 20)}" are ${fine ? 'taken' : 'refused'}, as the fleet would`, () => {
    const waves = readWaves(text);
    assert.equal(waves !== null, fine);
    if (waves) rolloutPlanSchema.parse({ waves });
  });
}

test('a draft becomes what the fleet takes', () => {
  const plain = createRolloutSchema.parse(requestOf(draft));
  assert.deepEqual(
    [plain.version, plain.waves, plain.soakMs, plain.successPercent, plain.window, plain.selector],
    ['1.4.0', [5, 25, 100], 3_600_000, 90, null, {}],
  );
  const window = { fromHour: 22, toHour: 5 };
  const full = {
    ...draft,
    labels: ' test* ',
    window,
    rollBack: false,
    soak: 'none',
    success: '99.5',
  } as const;
  const wish = createRolloutSchema.parse(requestOf(full));
  assert.deepEqual(
    [wish.selector, wish.window, wish.rollBack, wish.soakMs, wish.successPercent],
    [{ labels: 'test*' }, window, false, 0, 99.5],
  );
});

test('a draft with a fault becomes nothing, and the field is named', () => {
  for (const success of ['0', '101', 'most', '']) {
    assert.deepEqual(faultsOf({ ...draft, success }), { waves: false, success: true });
    assert.equal(requestOf({ ...draft, success }), null);
  }
  assert.deepEqual(faultsOf({ ...draft, waves: '5' }), { waves: true, success: false });
  assert.equal(requestOf({ ...draft, waves: '5' }), null);
});
