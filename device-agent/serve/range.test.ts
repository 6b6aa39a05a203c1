import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { parseRange } from './range.ts';

test('Range: single, open-ended and suffix forms', () => {
  assert.deepEqual(parseRange('bytes=0-0', 10), { kind: 'part', start: 0, end: 1 });
  assert.deepEqual(parseRange('bytes=3-', 10), { kind: 'part', start: 3, end: 10 });
  assert.deepEqual(parseRange('bytes=3-99', 10), { kind: 'part', start: 3, end: 10 });
  assert.deepEqual(parseRange('bytes=-4', 10), { kind: 'part', start: 6, end: 10 });
  assert.deepEqual(parseRange('bytes=-40', 10), { kind: 'part', start: 0, end: 10 });
  assert.deepEqual(parseRange('BYTES=1-2', 10), { kind: 'part', start: 1, end: 3 });
});

test('Range: unsatisfiable is told apart from malformed', () => {
  assert.deepEqual(parseRange('bytes=10-', 10), { kind: 'unsatisfiable' });
  assert.deepEqual(parseRange('bytes=10-20', 10), { kind: 'unsatisfiable' });
  assert.deepEqual(parseRange('bytes=-0', 10), { kind: 'unsatisfiable' });
  assert.deepEqual(parseRange('bytes=0-', 0), { kind: 'unsatisfiable' });
  assert.deepEqual(parseRange('bytes=-1', 0), { kind: 'whole' });
  for (const ignored of [
    undefined,
    '',
    'bytes',
    'bytes=',
    'bytes=-',
    'bytes=5-2',
    'items=0-1',
    'bytes=a-b',
  ]) {
    assert.deepEqual(parseRange(ignored, 10), { kind: 'whole' }, String(ignored));
  }
  assert.deepEqual(parseRange('bytes=0-1,3-4', 10), { kind: 'whole' });
});

test('Range: whatever comes, the part lies in the object and is not empty', () => {
  const numberish = fc.oneof(fc.nat(30).map(String), fc.bigInt({ min: 0n }).map(String), fc.constant(''));
  const header = fc.oneof(
    fc.tuple(numberish, numberish).map(([a, b]) => `bytes=${a}-${b}`),
    fc.string(),
    fc.string().map((text) => `bytes=${text}`),
  );
  fc.assert(
    fc.property(header, fc.nat(20), (text, sizeBytes) => {
      const asked = parseRange(text, sizeBytes);
      if (asked.kind === 'part') {
        assert.ok(asked.start >= 0 && asked.start < asked.end && asked.end <= sizeBytes);
      }
    }),
    { numRuns: 2000 },
  );
});

test('Range: agrees with slicing, for every first and last byte', () => {
  const bytes = [...Array(7).keys()];
  for (let first = 0; first < 9; first++) {
    for (let last = first; last < 9; last++) {
      const asked = parseRange(`bytes=${first}-${last}`, bytes.length);
      const expected = bytes.slice(first, last + 1);
      if (expected.length === 0) assert.equal(asked.kind, 'unsatisfiable');
      else assert.deepEqual(asked.kind === 'part' && bytes.slice(asked.start, asked.end), expected);
    }
  }
});
