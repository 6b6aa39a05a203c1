import assert from 'node:assert/strict';
import { test } from 'node:test';
import { formatMbit, fromField, toField } from './units.ts';

test('what is typed in megabits is kept in bytes, and comes back as it was', () => {
  for (const typed of ['10', '0.5', '2.25', '100', '940']) {
    const bytes = fromField(typed, 'mbit');
    assert.ok(typeof bytes === 'number');
    assert.equal(toField(bytes, 'mbit'), typed);
  }
  assert.equal(fromField('10', 'mbit'), 1_250_000);
  assert.equal(fromField('1,5', 'mbit'), 187_500, 'a comma is a point to many');
  assert.equal(fromField('500', 'gb'), 500_000_000_000);
});

test('empty is no limit; what is no number, or too little, is refused', () => {
  assert.equal(fromField('  ', 'mbit'), null);
  assert.equal(toField(null, 'gb'), '');
  for (const typed of ['-1', 'ten', '1e9', '1.2345', '1 000', '99999999']) {
    assert.equal(fromField(typed, 'mbit'), undefined, typed);
  }
  assert.equal(fromField('0', 'mbit', 8192), undefined);
});

test('a rate is said as lines are sold', () => {
  assert.equal(formatMbit(1_250_000), '10 Mbit/s');
  assert.equal(formatMbit(62_500), '0.5 Mbit/s');
  assert.equal(formatMbit(null), 'No limit');
});
