import assert from 'node:assert/strict';
import { test } from 'node:test';
import { assetPathSchema, pathPrefixSchema } from '#protocol/asset.ts';
import { hostnameSchema, originSchema } from '#protocol/http-fleet.ts';
import { LIMITS } from '#protocol/limits.ts';
import { isHostname, isOrigin, isPrefix, readPaths } from './paths.ts';

test('paths are read one a line, without blanks and repeats', () => {
  assert.deepEqual(readPaths(' /a.mp4 \n\n/b/c.ts\r\n/a.mp4'), { paths: ['/a.mp4', '/b/c.ts'] });
});

test('the line at fault is named', () => {
  assert.deepEqual(readPaths('/a\nb'), { fault: { kind: 'malformed', line: 2, path: 'b' } });
  assert.deepEqual(readPaths('  \n'), { fault: { kind: 'empty' } });
  const many = Array.from({ length: LIMITS.assetsPerRequest + 1 }, (_, n) => `/${n}`).join('\n');
  assert.deepEqual(readPaths(many), { fault: { kind: 'many', most: LIMITS.assetsPerRequest } });
});

// The form and the fleet must agree, or a form would let through what is then refused, or the reverse.
const PATHS = [
  '/a',
  '/',
  'a',
  '/a//b',
  '/a/../b',
  '/./a',
  '/a?b',
  '/a#b',
  '/a\\b',
  '/影片.mp4',
  '/a/',
  `/${'é'.repeat(600)}`,
];
for (const path of PATHS) {
  test(`the form judges the path ${path.slice(0, 12)} as the fleet does`, () => {
    assert.equal('paths' in readPaths(path), assetPathSchema.safeParse(path).success);
  });
}

for (const prefix of ['/', '/a/', '/a', 'a/', '/a//', '']) {
  test(`the form judges the folder "${prefix}" as the fleet does`, () => {
    assert.equal(isPrefix(prefix), pathPrefixSchema.safeParse(prefix).success);
  });
}

for (const origin of [
  'https://a.example',
  'http://127.0.0.1:7100/base',
  'ftp://a',
  'https://a?b',
  'https://u:p@a',
  'a',
]) {
  test(`the form judges the origin ${origin} as the fleet does`, () => {
    assert.equal(isOrigin(origin), originSchema.safeParse(origin).success);
  });
}

for (const name of ['a.example', 'Video.Example.com', 'localhost', '-a.example', 'a..b', 'a_b', '']) {
  test(`the form judges the host name "${name}" as the fleet does`, () => {
    assert.equal(isHostname(name), hostnameSchema.safeParse(name).success);
  });
}
