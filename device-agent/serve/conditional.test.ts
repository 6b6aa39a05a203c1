import assert from 'node:assert/strict';
import { test } from 'node:test';
import { evaluatePreconditions, ifRangeHolds } from './conditional.ts';

const lastModified = 'Wed, 01 Jul 2026 10:00:00 GMT';
const before = 'Wed, 01 Jul 2026 09:59:59 GMT';
const validators = { etag: '"abc"', lastModified };
const evaluate = (headers: Record<string, string>) => evaluatePreconditions(headers, validators);

test('If-None-Match: weak comparison, lists and *', () => {
  for (const value of ['"abc"', 'W/"abc"', '"x", "abc"', '"x",W/"abc"', '*', '"a,b" , "abc"']) {
    assert.equal(evaluate({ 'if-none-match': value }), 'not_modified', value);
  }
  for (const value of ['"abcd"', 'abc', '"x,abc"', '', '""']) {
    assert.equal(evaluate({ 'if-none-match': value }), 'proceed', value);
  }
});

test('If-Match: strong comparison', () => {
  assert.equal(evaluate({ 'if-match': '"abc"' }), 'proceed');
  assert.equal(evaluate({ 'if-match': '*' }), 'proceed');
  assert.equal(evaluate({ 'if-match': 'W/"abc"' }), 'failed');
  assert.equal(evaluate({ 'if-match': '"x"' }), 'failed');
});

test('dates count only where no entity tag is given (RFC 9110 section 13.2.2)', () => {
  assert.equal(evaluate({ 'if-modified-since': lastModified }), 'not_modified');
  assert.equal(evaluate({ 'if-modified-since': before }), 'proceed');
  assert.equal(evaluate({ 'if-modified-since': 'yesterday' }), 'proceed');
  assert.equal(evaluate({ 'if-modified-since': lastModified, 'if-none-match': '"x"' }), 'proceed');
  assert.equal(evaluate({ 'if-unmodified-since': before }), 'failed');
  assert.equal(evaluate({ 'if-unmodified-since': before, 'if-match': '"abc"' }), 'proceed');
  assert.equal(evaluate({ 'if-match': '"x"', 'if-none-match': '"abc"' }), 'failed');
});

test('dates come in three forms, all UTC whatever the zone of the box; other text is no date', (t) => {
  const zone = process.env.TZ;
  t.after(() => {
    if (zone === undefined) delete process.env.TZ;
    else process.env.TZ = zone;
  });
  process.env.TZ = 'America/New_York';
  for (const [same, earlier] of [
    ['Wed Jul  1 10:00:00 2026', 'Wed Jul  1 09:59:59 2026'],
    ['Wednesday, 01-Jul-26 10:00:00 GMT', 'Wednesday, 01-Jul-26 09:59:59 GMT'],
  ] as const) {
    assert.equal(evaluate({ 'if-modified-since': same }), 'not_modified', same);
    assert.equal(evaluate({ 'if-modified-since': earlier }), 'proceed', earlier);
  }
  for (const none of ['2099-01-01 GMT', '1 GMT', '2099-01-01T00:00:00Z', 'Wed, 01 Jul 2099 10:00:00 +0000']) {
    assert.equal(evaluate({ 'if-modified-since': none }), 'proceed', none);
  }
});

test('If-Range: strong tag or the very date', () => {
  assert.equal(ifRangeHolds(undefined, validators), true);
  assert.equal(ifRangeHolds('"abc"', validators), true);
  assert.equal(ifRangeHolds('W/"abc"', validators), false);
  assert.equal(ifRangeHolds('"x"', validators), false);
  assert.equal(ifRangeHolds(lastModified, validators), true);
  assert.equal(ifRangeHolds(before, validators), false);
  assert.equal(ifRangeHolds('Wed, 01 Jul 2026 10:00:01 GMT', validators), false);
  assert.equal(ifRangeHolds(lastModified, { etag: '"abc"', lastModified: null }), false);
});
