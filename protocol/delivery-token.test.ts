import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { test } from 'node:test';
import fc from 'fast-check';
import {
  deliveryKeyFor,
  mintToken,
  openToken,
  sealKeyFor,
  settleToken,
  TOKEN_CHARS,
} from './delivery-token.ts';
import { isHearthError } from './errors.ts';
import { newId } from './ids.ts';

const secret = randomBytes(32);
const boxId = newId('box');
const siteId = newId('site');
const key = deliveryKeyFor(secret, boxId);
const seal = sealKeyFor(secret);
const scope = { boxId, siteId, prefix: '/hls/', maxBytes: 1000, expiresAtMs: 2_000_000_000_000 };
const refusal = (code: string) => (error: unknown) => isHearthError(error) && error.code === code;

test('a token opens what lies below its prefix, until it expires', () => {
  const token = mintToken(scope, key, seal);
  assert.equal(token.length, TOKEN_CHARS);
  const opened = openToken(token, { boxId, siteId, path: '/hls/a/1.ts' }, key, 0);
  assert.equal(opened.maxBytes, 1000);
  assert.equal(opened.expiresAtMs, scope.expiresAtMs);
  assert.equal(opened.prefixBytes, 5);
  assert.throws(
    () => openToken(token, { boxId, siteId, path: '/hls/1.ts' }, key, scope.expiresAtMs),
    refusal('token_expired'),
  );
  assert.equal(openToken(token, { boxId, siteId, path: '/hls/1.ts' }, key, null).serial, opened.serial);
});

test('a token for one path opens that path alone', () => {
  const token = mintToken({ ...scope, prefix: '/film.mp4' }, key, seal);
  openToken(token, { boxId, siteId, path: '/film.mp4' }, key, 0);
  for (const path of ['/film.mp4x', '/film.mp4/x', '/film', '/other.mp4']) {
    assert.throws(() => openToken(token, { boxId, siteId, path }, key, 0), path);
  }
});

test('a token opens nothing for another box, site, path or key', () => {
  const token = mintToken(scope, key, seal);
  const path = '/hls/1.ts';
  const cases: [Parameters<typeof openToken>[1], Buffer, string][] = [
    [{ boxId: newId('box'), siteId, path }, key, 'token_forged'],
    [{ boxId, siteId: newId('site'), path }, key, 'token_forged'],
    [{ boxId, siteId, path: '/xls/1.ts' }, key, 'token_forged'],
    [{ boxId, siteId, path: '/hlsx/1.ts' }, key, 'token_out_of_prefix'],
    [{ boxId, siteId, path: '/h' }, key, 'token_out_of_prefix'],
    [{ boxId, siteId, path }, deliveryKeyFor(secret, newId('box')), 'token_forged'],
  ];
  for (const [request, withKey, code] of cases) {
    assert.throws(() => openToken(token, request, withKey, 0), refusal(code), JSON.stringify(request));
  }
});

test('settlement takes only what the fleet sealed', () => {
  const token = mintToken(scope, key, seal);
  assert.equal(settleToken(token, scope, seal).maxBytes, 1000);
  // A box knows its own key, so it can make a token that it would open itself, but no seal.
  const forged = mintToken({ ...scope, maxBytes: 10 ** 12 }, key, randomBytes(32));
  openToken(forged, { boxId, siteId, path: '/hls/1.ts' }, key, 0);
  assert.throws(() => settleToken(forged, scope, seal), refusal('token_forged'));
  assert.throws(() => settleToken(token, { ...scope, boxId: newId('box') }, seal), refusal('token_forged'));
  assert.throws(() => settleToken(token, { ...scope, prefix: '/' }, seal), refusal('token_forged'));
});

test('any change of any character is noticed, on the box or at settlement', () => {
  const token = mintToken(scope, key, seal);
  const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_';
  fc.assert(
    fc.property(fc.nat(TOKEN_CHARS - 1), fc.nat(63), (at, letter) => {
      const changed = token.slice(0, at) + alphabet[letter] + token.slice(at + 1);
      fc.pre(changed !== token);
      assert.throws(() => settleToken(changed, scope, seal));
    }),
  );
});

test('garbage is malformed, never a crash', () => {
  fc.assert(
    fc.property(fc.string({ maxLength: 200 }), (text) => {
      assert.throws(
        () => openToken(text, { boxId, siteId, path: '/a' }, key, 0),
        (error) => isHearthError(error),
      );
      assert.throws(
        () => settleToken(text, scope, seal),
        (error) => isHearthError(error),
      );
    }),
  );
});
