import assert from 'node:assert/strict';
import { test } from 'node:test';
import { windowFor } from './windows.ts';

test('few streams get wide windows, many get narrow ones, and never less than HTTP/2 gives by default', () => {
  assert.equal(windowFor(1), 16 * 1024 * 1024);
  assert.equal(windowFor(8), 2 * 1024 * 1024);
  assert.equal(windowFor(100), 128 * 1024);
  assert.equal(windowFor(100_000), 64 * 1024);
  for (let streams = 0; streams < 5000; streams++) {
    assert.equal(Math.log2(windowFor(streams)) % 1, 0);
    assert.ok(windowFor(streams + 1) <= windowFor(streams));
  }
});

test('a thousand streams that came one by one and do not read are promised less than 150 MB', () => {
  let promised = 0;
  for (let streams = 1; streams <= 1000; streams++) promised += windowFor(streams);
  assert.ok(promised < 150e6, `${promised}`);
});
