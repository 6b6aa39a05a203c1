import assert from 'node:assert/strict';
import { it } from 'node:test';
import { credits, table } from './tour.ts';

it('micro-credits are shown exactly', () => {
  assert.equal(credits('0'), '0.000000');
  assert.equal(credits('1'), '0.000001');
  assert.equal(credits('1234567'), '1.234567');
  assert.equal(credits('-500000'), '-0.500000');
  assert.equal(credits('123456789012345678901'), '123456789012345.678901');
});

it('tables are aligned, numbers to the right', () => {
  assert.equal(
    table(
      [
        ['box', 'MB'],
        ['one', '1.0'],
        ['second', '10.5'],
      ],
      1,
    ),
    'box       MB\none      1.0\nsecond  10.5',
  );
});
