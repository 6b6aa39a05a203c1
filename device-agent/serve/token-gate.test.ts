import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { test } from 'node:test';
import { mintToken } from '#protocol/delivery-token.ts';
import type { HearthError } from '#protocol/errors.ts';
import { TokenGate } from './token-gate.ts';

const boxId = 'box-0123456789abcdef';
const siteId = 'site-0123456789abcdef';
const key = randomBytes(32);
const mint = (prefix: string, expiresAtMs = 10_000, signing = key) =>
  mintToken({ boxId, siteId, prefix, maxBytes: 100, expiresAtMs }, signing, randomBytes(32));
const codeOf = (work: () => unknown) => {
  try {
    work();
  } catch (error) {
    return (error as HearthError).code;
  }
  return null;
};

test('a token is opened once and remembered, its bounds kept', () => {
  const gate = new TokenGate();
  const token = mint('/hls/');
  assert.equal(
    codeOf(() => gate.open(token, siteId, '/hls/a.ts', 0)),
    'unavailable',
  );
  gate.configure(boxId, key);
  const first = gate.open(token, siteId, '/hls/a.ts', 0);
  assert.equal(first.prefix, '/hls/');
  assert.equal(gate.open(token, siteId, '/hls/b/c.ts', 0), first);
});

test('remembering never opens more than verifying would', () => {
  const gate = new TokenGate();
  gate.configure(boxId, key);
  const token = mint('/hls/');
  gate.open(token, siteId, '/hls/a.ts', 0);
  assert.equal(
    codeOf(() => gate.open(token, siteId, '/hls-x/y', 0)),
    'token_out_of_prefix',
  );
  assert.equal(
    codeOf(() => gate.open(token, siteId, '/other/a.ts', 0)),
    'token_out_of_prefix',
  );
  assert.equal(
    codeOf(() => gate.open(token, 'site-aaaaaaaaaaaaaaaa', '/hls/a.ts', 0)),
    'token_forged',
  );
  assert.equal(
    codeOf(() => gate.open(token, siteId, '/hls/a.ts', 10_000)),
    'token_expired',
  );
  assert.equal(
    codeOf(() => gate.open(mint('/hls/', 10_000, randomBytes(32)), siteId, '/hls/a.ts', 0)),
    'token_forged',
  );
  assert.equal(
    codeOf(() => gate.open('x', siteId, '/hls/a.ts', 0)),
    'token_malformed',
  );
  const single = mint('/a.mp4');
  gate.open(single, siteId, '/a.mp4', 0);
  assert.equal(
    codeOf(() => gate.open(single, siteId, '/a.mp4/b', 0)),
    'token_out_of_prefix',
  );
});

test('a new key forgets what the old one opened', () => {
  const gate = new TokenGate();
  gate.configure(boxId, key);
  const token = mint('/');
  gate.open(token, siteId, '/a', 0);
  gate.configure(boxId, randomBytes(32));
  assert.notEqual(
    codeOf(() => gate.open(token, siteId, '/a', 0)),
    null,
  );
});
