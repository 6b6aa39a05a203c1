import assert from 'node:assert/strict';
import { test } from 'node:test';
import { href, parseHash } from './router.ts';

test('links and locations are each other turned round', () => {
  const target = href('assets', 'a/b?c d');
  assert.equal(target, '#/assets/a%2Fb%3Fc%20d');
  assert.deepEqual(parseHash(target).segments, ['assets', 'a/b?c d']);
  assert.equal(href(), '#/');
  assert.deepEqual(parseHash('').segments, []);
});

test('a query is read, and rubbish does no harm', () => {
  assert.equal(parseHash('#/assets?site=site-1').query.get('site'), 'site-1');
  assert.deepEqual(parseHash('#/%E0%A4%A').segments, ['%E0%A4%A']);
});
