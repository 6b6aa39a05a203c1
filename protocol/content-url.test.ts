import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import {
  contentLink,
  encodePath,
  handBackLink,
  handBackOf,
  SKIPS_MAX,
  skippedIn,
  withoutSkips,
} from './content-url.ts';
import { newId } from './ids.ts';

const target = { token: 'T', siteId: 'site-1', path: '/a b/ü.mp4' };

test('links name the asset, and the boxes that handed the client back', () => {
  const [one, two] = [newId('box'), newId('box')];
  assert.equal(contentLink('http://b:1', target), 'http://b:1/c/T/site-1/a%20b/%C3%BC.mp4');
  const back = handBackLink(
    'http://r/',
    target,
    two,
    skippedIn(new URL(contentLink('http://b', target, [one])).search),
  );
  assert.equal(back, `http://r/_site/site-1/a%20b/%C3%BC.mp4?hearth-skip=${one}&hearth-skip=${two}`);
  assert.deepEqual([...skippedIn(new URL(back).search)], [one, two]);
});

test('what a client writes there is bounded and cannot be anything but ids', () => {
  const many = Array.from({ length: 9 }, () => `hearth-skip=${newId('box')}`).join('&');
  assert.equal(skippedIn(many).size, SKIPS_MAX);
  assert.equal(skippedIn('hearth-skip=x&hearth-skip=%0d%0aSet-Cookie:a').size, 0);
  assert.equal(skippedIn('').size, 0);
});

test('the client’s own query stays as it was written', () => {
  assert.equal(withoutSkips('a=1&a=%20&b'), 'a=1&a=%20&b');
  assert.equal(withoutSkips(`a=1&hearth-skip=${newId('box')}&b`), 'a=1&b');
  assert.equal(withoutSkips('hearth-skip=x'), '');
});

test('an encoded path is ASCII and decodes to itself', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'grapheme' }), (text) => {
      fc.pre(text.isWellFormed());
      const encoded = encodePath(`/${text}`);
      assert.match(encoded, /^[\x21-\x7e]+$/);
      assert.equal(decodeURIComponent(encoded), `/${text}`);
    }),
  );
});

test('what a box or a relay sends a client back with is the same link', () => {
  const target = { token: 'T', siteId: 'site-0123456789abcdef', path: '/a b/ä.m3u8' };
  const link = contentLink('', target, ['box-0000000000000001']);
  const box = 'box-0000000000000002';
  assert.equal(
    handBackOf('http://router.test/', link, box),
    handBackLink('http://router.test', target, box, ['box-0000000000000001']),
  );
  for (const other of ['/', '/c/T', '/c/T/site-1/x', '/_hearth/health', '/c//site-0123456789abcdef/x']) {
    assert.equal(handBackOf('http://router.test', other, box), null, other);
  }
});
