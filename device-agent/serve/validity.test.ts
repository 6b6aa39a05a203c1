import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Clock } from '#agent/time/clock.ts';
import { Validity } from './validity.ts';

const T0 = Date.UTC(2026, 6, 1);

test('Age is 0 while linked, and grows from when the link was lost', () => {
  let nowMs = 1_000_000;
  const validity = new Validity(
    new Clock(
      () => T0 + nowMs,
      () => nowMs,
    ),
  );
  validity.setLinked(true);
  nowMs += 500_000;
  assert.equal(validity.ageSeconds(T0), 0);
  validity.setLinked(false);
  assert.equal(validity.ageSeconds(T0), 0);
  nowMs += 61_900;
  assert.equal(validity.ageSeconds(T0), 61);
  // Told again that it is down: it has been so since.
  validity.setLinked(false);
  assert.equal(validity.ageSeconds(T0), 61);
  validity.setLinked(true);
  assert.equal(validity.ageSeconds(T0), 0);
});

test('Age without a link since the start counts from the assignment, and is endless without a clock', () => {
  let localMs = T0;
  const validity = new Validity(
    new Clock(
      () => localMs,
      () => 5,
    ),
  );
  assert.equal(validity.ageSeconds(T0 - 90_000), 90);
  assert.equal(validity.ageSeconds(T0 + 90_000), 0);
  assert.equal(validity.ageSeconds(0), 1782864000);
  localMs = 5_000;
  assert.equal(validity.ageSeconds(T0), 2 ** 31);
});
