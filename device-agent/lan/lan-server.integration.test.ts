import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdir, readFile, stat, symlink, writeFile } from 'node:fs/promises';
import http from 'node:http';
import path from 'node:path';
import { test } from 'node:test';
import { gzipSync } from 'node:zlib';
import { PASSWORD, serveLan } from './lan-fixture.ts';
import { Password } from './password.ts';

test('lan: setup once, then login; nothing is shown before', async (t) => {
  const { call, forget, folder } = await serveLan(t);
  assert.deepEqual((await call('GET', '/api/session')).json, { setupNeeded: true, loggedIn: false });
  for (const target of ['/api/status', '/api/content', '/api/earnings', '/api/activity', '/api/pair']) {
    assert.equal((await call('GET', target)).status, 401, target);
  }
  assert.equal((await call('POST', '/api/setup', { password: 'short' })).status, 400);
  const set = await call('POST', '/api/setup', { password: PASSWORD });
  assert.equal(set.status, 200);
  assert.match(set.set ?? '', /^hearth_box_session=[\w-]{43}; HttpOnly; SameSite=Strict; Path=\//);
  assert.equal((await call('GET', '/api/status')).status, 200);
  assert.equal((await call('POST', '/api/setup', { password: PASSWORD })).status, 409);
  await call('POST', '/api/logout', {});
  assert.equal((await call('GET', '/api/status')).status, 401);
  forget();
  assert.equal((await call('POST', '/api/login', { password: `${PASSWORD}!` })).status, 401);
  assert.equal((await call('POST', '/api/login', { password: PASSWORD })).status, 200);
  assert.deepEqual((await call('GET', '/api/session')).json, { setupNeeded: false, loggedIn: true });
  const file = path.join(folder, 'password.json');
  assert.equal((await stat(file)).mode & 0o777, 0o600);
  assert.ok(!(await readFile(file, 'utf8')).includes('horse'));
  const reopened = new Password(folder);
  await reopened.open();
  assert.equal(await reopened.matches(PASSWORD), true);
  await assert.rejects(reopened.setOnce('another password'), { code: 'conflict' });
});

test('lan: sessions end by themselves', async (t) => {
  const { call, time } = await serveLan(t);
  await call('POST', '/api/setup', { password: PASSWORD });
  time.ms += 11 * 3_600_000;
  assert.equal((await call('GET', '/api/status')).status, 200);
  time.ms += 13 * 3_600_000;
  assert.equal((await call('GET', '/api/status')).status, 401);
});

test('lan: guessing is slowed, and nobody is locked out for long', async (t) => {
  const { call, time, forget } = await serveLan(t);
  await call('POST', '/api/setup', { password: PASSWORD });
  forget();
  for (let n = 0; n < 5; n++) assert.equal((await call('POST', '/api/login', { password: 'x' })).status, 401);
  const slowed = await call('POST', '/api/login', { password: PASSWORD });
  assert.equal(slowed.status, 429);
  assert.equal(slowed.headers['retry-after'], '1');
  time.ms += 1_001;
  assert.equal((await call('POST', '/api/login', { password: 'x' })).status, 401);
  time.ms += 1_001;
  assert.equal((await call('POST', '/api/login', { password: 'x' })).status, 429, 'the wait has doubled');
  time.ms += 60_000;
  assert.equal((await call('POST', '/api/login', { password: PASSWORD })).status, 200);
});

test('lan: requests held back half sent gain no free guesses', async (t) => {
  const { call, forget, port } = await serveLan(t);
  await call('POST', '/api/setup', { password: PASSWORD });
  forget();
  const body = JSON.stringify({ password: 'wrong' });
  const requests = Array.from({ length: 20 }, () => {
    const request = http.request({
      host: '127.0.0.1',
      port,
      path: '/api/login',
      method: 'POST',
      agent: false,
      headers: { 'content-type': 'application/json', 'content-length': body.length, 'x-hearth-csrf': '1' },
    });
    request.write(body.slice(0, 3));
    return request;
  });
  // All of them are known to the server before the first is whole.
  await new Promise((resolve) => setTimeout(resolve, 300));
  const statuses: (number | undefined)[] = [];
  for (const request of requests) {
    request.end(body.slice(3));
    const [response] = (await once(request, 'response')) as [http.IncomingMessage];
    response.resume();
    statuses.push(response.statusCode);
  }
  assert.deepEqual(
    statuses,
    statuses.map((_, n) => (n < 5 ? 401 : 429)),
  );
});

test('lan: other names (DNS rebinding), other origins and requests without the header are refused', async (t) => {
  const { call, port } = await serveLan(t);
  const csrf = { 'x-hearth-csrf': '1' };
  for (const host of ['evil.example', 'evil.example:7070', 'localhost.evil.example', '.local', 'a b']) {
    const got = await call('GET', '/api/session', undefined, { host });
    assert.ok(got.status === 403 || got.status === 400, host);
  }
  for (const host of [
    'hearth.lan',
    'hearth.local:7070',
    'localhost',
    'box.localhost',
    '[::1]:7070',
    'MyBox',
    '10.0.0.7',
  ]) {
    assert.equal((await call('GET', '/api/session', undefined, { host })).status, 200, host);
  }
  const body = { password: PASSWORD };
  assert.equal((await call('POST', '/api/setup', body, {})).status, 403);
  assert.equal(
    (await call('POST', '/api/setup', body, { ...csrf, origin: 'http://evil.example' })).status,
    403,
  );
  assert.equal((await call('POST', '/api/setup', body, { ...csrf, origin: 'null' })).status, 403);
  assert.equal(
    (await call('POST', '/api/setup', body, { ...csrf, origin: `http://127.0.0.1:${port}` })).status,
    200,
  );
});

test('lan: bad bodies get a clear answer', async (t) => {
  const { call } = await serveLan(t);
  assert.equal((await call('POST', '/api/setup', '{')).refusal().message, 'The body is not JSON.');
  assert.equal((await call('POST', '/api/setup', '[]')).status, 400);
  assert.equal((await call('POST', '/api/setup', { password: 'x'.repeat(20_000) })).status, 413);
  const plain = await call('POST', '/api/setup', '{}', {
    'x-hearth-csrf': '1',
    'content-type': 'text/plain',
  });
  assert.equal(plain.status, 400);
  await call('POST', '/api/setup', { password: PASSWORD });
  assert.equal((await call('GET', '/api/nothing')).status, 404);
  assert.equal((await call('DELETE', '/api/status')).status, 404);
});

test('lan: pairing hands over a tidy code, and says why it fails', async (t) => {
  const { call, paired } = await serveLan(t);
  await call('POST', '/api/setup', { password: PASSWORD });
  assert.deepEqual((await call('GET', '/api/pair')).json, { fleetUrl: 'https://fleet.test' });
  assert.equal((await call('POST', '/api/pair', { claimCode: 'abcd efgh 1234' })).status, 200);
  assert.equal(
    (await call('POST', '/api/pair', { claimCode: 'ABCD-EFGH-1234', fleetUrl: 'https://x.test/' })).status,
    200,
  );
  assert.deepEqual(paired, [
    ['ABCD-EFGH-1234', null],
    ['ABCD-EFGH-1234', 'https://x.test'],
  ]);
  const insecure = await call('POST', '/api/pair', { claimCode: 'ABCDEFGH1234', fleetUrl: 'http://x.test' });
  assert.equal(insecure.status, 400);
  assert.equal(insecure.refusal().code, 'insecure_fleet_url');
});

test('lan: static files, safely', async (t) => {
  const { call, webui, folder } = await serveLan(t);
  const missing = await call('GET', '/');
  assert.equal(missing.status, 200);
  assert.match(missing.text, /npm run build:webui/);
  await mkdir(path.join(webui, 'assets'), { recursive: true });
  await writeFile(path.join(webui, 'index.html'), '<h1>hello</h1>');
  await writeFile(path.join(webui, 'assets', 'main-ABCDEF12.js'), 'let x');
  await writeFile(path.join(folder, 'secret.txt'), 'secret');
  await symlink(path.join(folder, 'secret.txt'), path.join(webui, 'link.txt'));
  const page = await call('GET', '/');
  assert.equal(page.text, '<h1>hello</h1>');
  assert.equal(page.headers['cache-control'], 'no-cache');
  assert.match(String(page.headers['content-security-policy']), /default-src 'self'/);
  assert.doesNotMatch(String(page.headers['content-security-policy']), /unsafe/);
  assert.equal(page.headers['x-content-type-options'], 'nosniff');
  assert.equal(page.headers['x-frame-options'], 'DENY');
  const script = await call('GET', '/assets/main-ABCDEF12.js');
  assert.match(String(script.headers['cache-control']), /immutable/);
  assert.match(String(script.headers['content-type']), /javascript/);
  assert.equal(script.headers['content-encoding'], undefined);
  await writeFile(path.join(webui, 'assets', 'main-ABCDEF12.js.gz'), gzipSync('let x'));
  const ask = async (accepted: string) =>
    call('GET', '/assets/main-ABCDEF12.js', undefined, { 'accept-encoding': accepted });
  const zipped = await ask('br, gzip;q=0.8');
  assert.equal(zipped.headers['content-encoding'], 'gzip');
  assert.equal(zipped.headers.vary, 'accept-encoding');
  assert.match(String(zipped.headers['content-type']), /javascript/);
  assert.match(String(zipped.headers['cache-control']), /immutable/);
  assert.equal((await ask('gzip;q=0')).text, 'let x');
  assert.equal((await ask('identity')).text, 'let x');
  for (const target of [
    '/../secret.txt',
    '/%2e%2e/secret.txt',
    '/link.txt',
    '/assets',
    '/assets/',
    '/.hidden',
    '//x',
  ]) {
    const got = await call('GET', target);
    assert.equal(got.status, 404, target);
    assert.doesNotMatch(got.text, /^secret/);
  }
});
