import assert from 'node:assert/strict';
import { test } from 'node:test';
import { roughly } from './listing.ts';

test('where somebody came from is told roughly', () => {
  for (const [address, network] of [
    ['203.0.113.77', '203.0.113.0/24'],
    ['::ffff:203.0.113.77', '203.0.113.0/24'],
    ['2001:db8:7:1:2:3:4:5', '2001:db8:7::/48'],
    ['2001:db8::1', '2001:db8:0::/48'],
    ['', ''],
    ['nobody', ''],
  ] as const) {
    assert.equal(roughly(address), network, address);
  }
});
