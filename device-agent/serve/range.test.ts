import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { parseRange } from './range.ts';

const one = (start: number, end: number) => ({ kind: 'part', spans: [{ start, end }] });

test('Range: single, open-ended and suffix forms', () => {
  assert.deepEqual(parseRange('bytes=0-0', 10), one(0, 1));
  assert.deepEqual(parseRange('bytes=3-', 10), one(3, 10));
  assert.deepEqual(parseRange('bytes=3-99', 10), one(3, 10));
  assert.deepEqual(parseRange('bytes=-4', 10), one(6, 10));
  assert.deepEqual(parseRange('bytes=-40', 10), one(0, 10));
  assert.deepEqual(parseRange('BYTES=1-2', 10), one(1, 3));
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
});

const spansOf = (header: string, sizeBytes: number) => {
  const asked = parseRange(header, sizeBytes);
  return asked.kind === 'part' ? asked.spans.map(({ start, end }) => [start, end]) : asked.kind;
};

test('Range: several, in the order asked for', () => {
  assert.deepEqual(spansOf('bytes=0-0,500-509,-10', 10_000), [
    [0, 1],
    [500, 510],
    [9990, 10_000],
  ]);
  assert.deepEqual(spansOf('bytes= 5000-5001 ,\t0-1', 10_000), [
    [5000, 5002],
    [0, 2],
  ]);
  assert.deepEqual(spansOf('bytes=,0-1,,500-501,', 10_000), [
    [0, 2],
    [500, 502],
  ]);
  // Of several, those that are not there are left out (RFC 9110 section 15.3.7).
  assert.deepEqual(spansOf('bytes=0-1,20000-', 10_000), [[0, 2]]);
  assert.equal(spansOf('bytes=10000-,-0', 10_000), 'unsatisfiable');
  assert.equal(spansOf('bytes=0-1,5-2', 10_000), 'whole');
  assert.equal(spansOf('bytes=0-1;2-3', 10_000), 'whole');
});

test('Range: what overlaps or nearly touches becomes one; too many are ignored', () => {
  assert.deepEqual(spansOf('bytes=0-999,500-1500', 10_000), [[0, 1501]]);
  assert.deepEqual(spansOf('bytes=0-99,150-199', 10_000), [[0, 200]]);
  assert.deepEqual(spansOf(`bytes=${Array(30).fill('0-').join(',')}`, 10_000), [[0, 10_000]]);
  const spread = (count: number) => Array.from({ length: count }, (_, n) => `${n * 1000}-${n * 1000}`).join();
  assert.equal(spansOf(`bytes=${spread(32)}`, 1e6).length, 32);
  assert.equal(spansOf(`bytes=${spread(33)}`, 1e6), 'whole');
  assert.equal(spansOf(`bytes=${','.repeat(16_000)}0-1`, 1e6), 'whole');
});

test('Range: whatever comes, parts lie in the object, are not empty and do not overlap', () => {
  const numberish = fc.oneof(
    fc.nat(30).map(String),
    fc.nat(2000).map(String),
    fc.bigInt({ min: 0n }).map(String),
    fc.constant(''),
  );
  const header = fc.oneof(
    fc.tuple(numberish, numberish).map(([a, b]) => `bytes=${a}-${b}`),
    fc.string(),
    fc.string().map((text) => `bytes=${text}`),
    fc.array(fc.tuple(numberish, numberish)).map((all) => `bytes=${all.map(([a, b]) => `${a}-${b}`).join()}`),
  );
  fc.assert(
    fc.property(header, fc.oneof(fc.nat(20), fc.nat(2000)), (text, sizeBytes) => {
      const asked = parseRange(text, sizeBytes);
      if (asked.kind !== 'part') return;
      let sum = 0;
      for (const { start, end } of asked.spans) {
        assert.ok(start >= 0 && start < end && end <= sizeBytes);
        sum += end - start;
      }
      assert.ok(sum <= sizeBytes, 'never more than the whole');
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
      else {
        assert.ok(asked.kind === 'part');
        assert.deepEqual(bytes.slice(asked.spans[0].start, asked.spans[0].end), expected);
      }
    }
  }
});
