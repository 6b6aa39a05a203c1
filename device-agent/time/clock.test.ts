import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Clock } from './clock.ts';

test('an unset clock is no clock; the fleet tells the time, and a replay cannot turn it back', () => {
  let monotonic = 1000;
  const clock = new Clock(
    () => 5_000,
    () => monotonic,
  );
  assert.equal(clock.fleetNow(), null);
  const issued = Date.UTC(2026, 5, 1);
  clock.learn(issued);
  monotonic += 250;
  assert.equal(clock.fleetNow(), issued + 250);
  assert.equal(clock.stamp(), '2026-06-01T00:00:00.250Z');
  clock.learn(issued - 86_400_000);
  assert.equal(clock.fleetNow(), issued);
});

test('a plausible local clock serves until the fleet speaks; a wrong one is put right', () => {
  const wrong = Date.UTC(2099, 0, 1);
  const clock = new Clock(
    () => wrong,
    () => 0,
  );
  assert.equal(clock.fleetNow(), wrong);
  assert.equal(clock.learnt, false);
  clock.learn(Date.UTC(2026, 0, 1));
  assert.equal(clock.fleetNow(), Date.UTC(2026, 0, 1));
});
