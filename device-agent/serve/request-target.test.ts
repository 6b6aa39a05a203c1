import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { assetPathSchema } from '#protocol/asset.ts';
import { encodePath } from '#protocol/content-url.ts';
import { originForm, parseTarget } from './request-target.ts';

const site = 'site-0123456789abcdef';
const token = 'A'.repeat(76);

test('a content target is taken apart and its path decoded once', () => {
  assert.deepEqual(parseTarget(`/c/${token}/${site}/a%20b/%25c.mp4?t=1`), {
    token,
    siteId: site,
    path: '/a b/%c.mp4',
    skipped: new Set(),
  });
  const skip = 'box-0123456789abcdef';
  const again = parseTarget(`/c/${token}/${site}/a?hearth-skip=${skip}&hearth-skip=junk`);
  assert.deepEqual(again && 'skipped' in again && [...again.skipped], [skip]);
  assert.equal(parseTarget('/index.html'), null);
});

test('the absolute form of a target means the same', () => {
  assert.equal(originForm('/c/x?y=http://z/'), '/c/x?y=http://z/');
  assert.equal(originForm('http://127.0.0.1:7090/c/x?y=1'), '/c/x?y=1');
  assert.equal(originForm('HTTPS://box.example/c/x'), '/c/x');
  assert.equal(originForm('http://box.example'), '/');
  assert.equal(originForm('http://box.example?x'), '/?x');
  assert.equal(originForm('*'), '*');
});

test('traversal, encoded slashes, NUL and the like are refused', () => {
  for (const path of [
    '/../etc/passwd',
    '/a/../b',
    '/a/..',
    '/a/./b',
    '/%2e%2e/etc/passwd',
    '/a/%2e%2e',
    '/a%2fb',
    '/a%2Fb',
    '/a%5cb',
    '/a\\b',
    '/a%00',
    '/a%0ab',
    '/a//b',
    '//a',
    '/a/',
    '/',
    '/%',
    '/%ff',
    '/%3f',
    `/${'a'.repeat(2000)}`,
  ]) {
    const parsed = parseTarget(`/c/${token}/${site}${path}`);
    assert.ok(parsed && 'fault' in parsed, path);
  }
  for (const target of ['/c/', '/c/x', `/c/${token}/${site}`, `/c/${token}/other/a`, `/c//${site}`]) {
    const parsed = parseTarget(target);
    assert.ok(parsed && 'fault' in parsed, target);
  }
});

test('every path an asset can have survives the way through a URL; whatever else comes is refused or plain', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'grapheme', minLength: 1, maxLength: 40 }), (text) => {
      const path = `/${text}`;
      if (!assetPathSchema.safeParse(path).success) return;
      const parsed = parseTarget(`/c/${token}/${site}${encodePath(path)}`);
      assert.deepEqual(parsed, { token, siteId: site, path, skipped: new Set() });
    }),
    { numRuns: 1000 },
  );
  const nasty = fc.array(fc.constantFrom('/', '.', '..', '%2e', '%2f', '%', '\\', 'a', '%00', '%25', '?'), {
    maxLength: 12,
  });
  fc.assert(
    fc.property(nasty, (parts) => {
      const parsed = parseTarget(`/c/${token}/${site}/${parts.join('')}`);
      if (parsed && 'path' in parsed) assert.ok(assetPathSchema.safeParse(parsed.path).success, parsed.path);
    }),
    { numRuns: 2000 },
  );
});
