import assert from 'node:assert/strict';
import { test } from 'node:test';
import { readAcceptEncoding } from './accept-encoding.ts';

test('Accept-Encoding (RFC 9110 section 12.5.3)', () => {
  const cases: [string | undefined, string[], boolean][] = [
    [undefined, [], true],
    ['', [], true],
    ['gzip, deflate, br', ['br', 'gzip'], true],
    ['gzip, deflate', ['gzip'], true],
    ['GZIP', ['gzip'], true],
    ['x-gzip', ['gzip'], true],
    ['*', ['br', 'gzip'], true],
    ['br;q=0, *', ['gzip'], true],
    ['br;q=0.5, gzip;q=0.8', ['gzip', 'br'], true],
    ['br ; q=0.5 , gzip;q=0.500', ['br', 'gzip'], true],
    ['gzip;q=0', [], true],
    ['gzip;q=0.5, identity', [], true],
    ['gzip;q=0.5, identity;q=0.5', ['gzip'], true],
    ['identity;q=1, *;q=0', [], true],
    ['*;q=0', [], false],
    ['br, identity;q=0', ['br'], false],
    ['identity;q=0', [], false],
    ['zstd, deflate', [], true],
    ['gzip;q=2', [], true],
    ['gzip;q=abc, br', ['br'], true],
    ['gzip;level=9', [], true],
  ];
  for (const [header, codings, identity] of cases) {
    assert.deepEqual(readAcceptEncoding(header), { codings, identity }, String(header));
    assert.deepEqual(readAcceptEncoding(header), { codings, identity }, `${header}, remembered`);
  }
  assert.deepEqual(readAcceptEncoding('br,'.repeat(5_000)).codings, ['br']);
  for (let n = 0; n < 1000; n++) readAcceptEncoding(`x${n}, gzip`);
  assert.deepEqual(readAcceptEncoding('x1, gzip').codings, ['gzip']);
});
