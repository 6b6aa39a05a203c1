import assert from 'node:assert/strict';
import { test } from 'node:test';
import { credits, duration, size, table, time } from './format.ts';

test('micro-credits are shown exactly, however many', () => {
  assert.equal(credits('0'), '0.000000');
  assert.equal(credits('1'), '0.000001');
  assert.equal(credits('1234567'), '1.234567');
  assert.equal(credits('-500000'), '-0.500000');
  assert.equal(credits('123456789012345678901'), '123456789012345.678901');
});

test('columns line up, numbers to the right, Chinese counted as wide as it is', () => {
  assert.equal(
    table(
      ['NAME', 'N'],
      [
        ['a', 5],
        ['阁楼', 10],
      ],
    ),
    'NAME   N\na      5\n阁楼  10\n',
  );
  assert.equal(table(['NAME'], []), 'NAME\n');
});

test('sizes, times and durations', () => {
  assert.deepEqual([0, 1023, 1536, 10 * 1024 ** 2].map(size), ['0 B', '1023 B', '1.5 KiB', '10 MiB']);
  assert.equal(time('2026-11-21T09:30:00.123Z'), '2026-11-21 09:30:00Z');
  assert.equal(time(null), '-');
  assert.deepEqual(
    ['250', '90s', '15m', '12h', '7d'].map(duration),
    [250, 90_000, 900_000, 43_200_000, 604_800_000],
  );
  for (const bad of ['', 'x', '-1s', '1.5h', '7 d', '1w']) assert.equal(duration(bad), null, bad);
});
