import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Clock } from '#agent/time/clock.ts';
import { ServingMeter } from './meter.ts';

test('meter: says once that more will come, after some requests', () => {
  let said = 0;
  const meter = new ServingMeter(new Clock(), () => said++);
  for (let request = 0; request < 49; request++) meter.addRequest();
  assert.equal(said, 0);
  for (let request = 0; request < 200; request++) meter.addRequest();
  assert.equal(said, 1);
  assert.equal(meter.requestsTotal, 249);
});
