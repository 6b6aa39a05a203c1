import assert from 'node:assert/strict';
import { test } from 'node:test';
import { STEPS, stepAfter, stepBefore, stepOf } from './wizard.ts';

const fresh = { setupNeeded: true, diskChosen: false };
const inside = { setupNeeded: false, diskChosen: false };

test('nothing behind the password is shown before it is set', () => {
  for (const step of STEPS) {
    assert.equal(stepOf(step, fresh), step === 'password' ? 'password' : 'language');
  }
});

test('a reload goes on where it was, a first visit at what is not done', () => {
  for (const step of STEPS) assert.equal(stepOf(step, inside), step);
  assert.equal(stepOf(undefined, fresh), 'language');
  assert.equal(stepOf(undefined, inside), 'disk');
  assert.equal(stepOf('nonsense', { ...inside, diskChosen: true }), 'line');
});

test('every step but the first can be gone back from, every one but the last leads on', () => {
  assert.equal(stepBefore('language'), null);
  assert.equal(stepAfter('pair'), null);
  for (const step of STEPS.slice(1)) {
    const before = stepBefore(step);
    assert.ok(before);
    assert.equal(stepAfter(before), step);
  }
});
