import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import http from 'node:http';
import { test } from 'node:test';
import { Clock } from '#agent/time/clock.ts';
import { ask, mint, serve, target } from './serve-fixture.ts';

const small = randomBytes(5_000);

test('headers: a document of one site cannot act for the box’s origin, whichever way it is asked for', async (t) => {
  const { port, put } = await serve(t);
  const { sha256 } = await put(small, '/page.html', { contentType: 'text/html; charset=utf-8' });
  const url = target(mint('/'), '/page.html');
  for (const headers of [
    {},
    { range: 'bytes=0-9' },
    { range: 'bytes=0-9,1000-1009' },
    { 'if-none-match': `"${sha256}"` },
  ]) {
    const got = await ask(port, url, { headers });
    const policy = String(got.headers['content-security-policy']);
    assert.match(policy, /^sandbox .*allow-scripts/);
    assert.doesNotMatch(policy, /allow-same-origin/);
    assert.equal(got.headers['x-content-type-options'], 'nosniff');
    assert.equal(got.headers['content-disposition'], undefined);
  }
  await put(small, '/a.mp4');
  const video = await ask(port, target(mint('/'), '/a.mp4'));
  assert.equal(video.headers['content-security-policy'], undefined);
  assert.equal(video.headers['cross-origin-resource-policy'], 'cross-origin');
  await put(small, '/odd', { contentType: 'text/html, text/plain' });
  const odd = await ask(port, target(mint('/'), '/odd'));
  assert.equal(odd.headers['content-type'], 'application/octet-stream');
});

test('headers: Age says how long nobody has vouched for the copy; Cache-Control is the origin’s', async (t) => {
  let age = 0;
  const { port, put } = await serve(t, {}, new Clock(), { ageSeconds: () => age });
  const { sha256 } = await put(small, '/a', { cacheControl: 'public, max-age=86400, immutable' });
  await put(small.subarray(1), '/b', { cacheControl: null });
  const url = target(mint('/'), '/a');
  for (age of [0, 77]) {
    for (const headers of [{}, { range: 'bytes=0-9' }, { 'if-none-match': `"${sha256}"` }]) {
      const got = await ask(port, url, { headers });
      assert.equal(got.headers.age, String(age));
      assert.equal(got.headers['cache-control'], 'public, max-age=86400, immutable');
    }
  }
  const without = await ask(port, target(mint('/'), '/b'));
  assert.equal(without.headers['cache-control'], undefined);
});

test('headers: where the bytes came from, and nothing else about the box', async (t) => {
  const { port, put } = await serve(t);
  await put(small, '/a');
  const url = target(mint('/'), '/a');
  // By one connection: another worker has a memory of its own.
  const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });
  t.after(() => agent.destroy());
  const first = await ask(port, url, { agent });
  assert.match(String(first.headers['server-timing']), /^cache;desc="hit, disk", read;dur=\d+\.\d$/);
  const second = await ask(port, url, { agent });
  assert.equal(second.headers['server-timing'], 'cache;desc="hit, memory"');
  assert.deepEqual([second.headers.server, second.headers['x-powered-by']], [undefined, undefined]);
});

test('headers: a player of another origin may send what it likes, and see what it got', async (t) => {
  const { port, put } = await serve(t);
  await put(small, '/a');
  const url = target(mint('/'), '/a');
  const preflight = await ask(port, url, {
    method: 'OPTIONS',
    headers: {
      origin: 'https://player.test',
      'access-control-request-method': 'GET',
      'access-control-request-headers': 'range,x-playback-session-id',
    },
  });
  assert.equal(preflight.status, 204);
  assert.equal(preflight.headers['content-length'], undefined);
  assert.equal(preflight.headers['access-control-allow-origin'], '*');
  assert.match(String(preflight.headers['access-control-allow-methods']), /\bGET\b.*\bHEAD\b/);
  const allowed = String(preflight.headers['access-control-allow-headers']).toLowerCase().split(', ');
  for (const name of ['*', 'range', 'if-range', 'if-none-match', 'authorization']) {
    assert.ok(allowed.includes(name), name);
  }
  assert.equal(preflight.headers['access-control-max-age'], '86400');
  // A star with credentials would be refused by every browser.
  assert.equal(preflight.headers['access-control-allow-credentials'], undefined);
  for (const path of [url, target(mint('/'), '/none'), '/nothing']) {
    const got = await ask(port, path, { headers: { origin: 'https://player.test' } });
    assert.equal(got.headers['access-control-allow-origin'], '*', String(got.status));
    assert.match(String(got.headers['access-control-expose-headers']), /Content-Range/);
  }
});
