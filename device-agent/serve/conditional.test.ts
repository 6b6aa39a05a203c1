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
