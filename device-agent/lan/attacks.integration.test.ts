import assert from 'node:assert/strict';
import { once } from 'node:events';
import { writeFile } from 'node:fs/promises';
import net from 'node:net';
import path from 'node:path';
import { test } from 'node:test';
import { checkNeighbour } from './guard.ts';
import { PASSWORD, serveLan } from './lan-fixture.ts';

const CSRF = { 'x-hearth-csrf': '1' };

test('attack: guessing under made-up addresses is slowed all the same', async (t) => {
  const { call, forget } = await serveLan(t);
  await call('POST', '/api/setup', { password: PASSWORD });
  forget();
  const statuses: (number | undefined)[] = [];
  for (let n = 0; n < 8; n++) {
    const claimed = {
      'x-forwarded-for': `192.168.1.${n}`,
      'x-real-ip': `192.168.1.${n}`,
      forwarded: `for=10.0.0.${n}`,
    };
    statuses.push((await call('POST', '/api/login', { password: 'wrong' }, { ...CSRF, ...claimed })).status);
  }
  assert.deepEqual(statuses, [401, 401, 401, 401, 401, 429, 429, 429]);
});

test('attack: a session that was handed to a browser never becomes one, and the former one of a browser ends', async (t) => {
  const { call, forget, cookieNow } = await serveLan(t);
  await call('POST', '/api/setup', { password: PASSWORD });
  const first = cookieNow();
  forget();
  const planted = `hearth_box_session=${'A'.repeat(43)}`;
  const login = await call('POST', '/api/login', { password: PASSWORD }, { ...CSRF, cookie: planted });
  assert.equal(login.status, 200);
  assert.ok(!login.set?.includes('A'.repeat(43)));
  assert.equal((await call('GET', '/api/status', undefined, { cookie: planted })).status, 401);
  const again = await call('POST', '/api/login', { password: PASSWORD }, { ...CSRF, cookie: first });
  assert.equal(again.status, 200);
  assert.equal((await call('GET', '/api/status', undefined, { cookie: first })).status, 401);
  for (const { set } of [login, again]) {
    const flags = (set ?? '').split('; ').slice(1);
    for (const flag of ['HttpOnly', 'SameSite=Strict', 'Path=/']) assert.ok(flags.includes(flag), flag);
    assert.ok(!flags.some((flag) => flag.startsWith('Domain')));
  }
});

test('attack: names of the internet that point here (DNS rebinding), on every path and without a Host', async (t) => {
  const { call, port, webui } = await serveLan(t);
  await call('POST', '/api/setup', { password: PASSWORD });
  await writeFile(path.join(path.dirname(webui), 'outside.txt'), 'outside');
  const rebound = [
    'evil.example',
    'lan.evil.example',
    'evil.lan.',
    'hearth.lan.evil.example',
    'home.arpa.example',
    '127.0.0.1.nip.io',
    'localhost@evil.example',
  ];
  for (const host of rebound) {
    for (const target of ['/', '/api/session', '/api/status', '/api/diagnostics', '/api/events']) {
      const got = await call('GET', target, undefined, { host });
      assert.equal(got.status, 403, `${host}${target}`);
      assert.ok(!/setupNeeded|loggedIn/.test(got.text));
    }
  }
  for (const host of ['box.home.arpa', 'box.internal', 'mybox', '[fe80::1]', '192.168.1.2:7070']) {
    assert.equal((await call('GET', '/api/session', undefined, { host })).status, 200, host);
  }
  const bare = await raw(port, 'GET /api/session HTTP/1.0\r\n\r\n');
  assert.match(bare, /^HTTP\/1\.1 403 /);
  const twice = await raw(
    port,
    'GET /api/session HTTP/1.1\r\nhost: mybox\r\nhost: evil.example\r\nconnection: close\r\n\r\n',
  );
  assert.doesNotMatch(twice, /setupNeeded/);
});

test('attack: requests of other origins, also those that say nothing or something odd', async (t) => {
  const { call, port } = await serveLan(t);
  await call('POST', '/api/setup', { password: PASSWORD });
  const own = `127.0.0.1:${port}`;
  // The content port of the same box is another origin, and serves what tenants like.
  for (const origin of [
    `http://127.0.0.1:${port + 1}`,
    `http://${own}.evil.example`,
    'null',
    'file://',
    '',
    `http://x@${own}.example`,
  ]) {
    const got = await call('PATCH', '/api/settings', { language: 'zh' }, { ...CSRF, origin });
    assert.equal(got.status, 403, origin);
  }
  // What a form of another site can send: no header of its own, and no JSON.
  for (const type of ['text/plain', 'application/x-www-form-urlencoded', 'multipart/form-data; boundary=x']) {
    const got = await call('POST', '/api/pause', '{"minutes":60}', { 'content-type': type });
    assert.equal(got.status, 403, type);
  }
  const preflight = await call('OPTIONS', '/api/settings', undefined, {
    origin: 'http://evil.example',
    'access-control-request-method': 'PATCH',
  });
  assert.ok(![200, 204].includes(preflight.status ?? 0));
  for (const name of Object.keys(preflight.headers)) assert.ok(!name.startsWith('access-control'), name);
});

test('attack: JSON that reaches for prototypes changes none, here or in the settings', async (t) => {
  const { call, household, folder } = await serveLan(t);
  await call('POST', '/api/setup', { password: PASSWORD });
  const evil = '"__proto__":{"polluted":1,"wizardDone":true},"constructor":{"prototype":{"polluted":1}}';
  for (const [method, target, body] of [
    ['PATCH', '/settings', `{${evil},"language":"en"}`],
    ['PATCH', '/settings', `{"disk":{${evil}},"uplink":{${evil},"monthlyBytes":5}}`],
    ['POST', '/pause', `{${evil},"minutes":1}`],
    ['POST', '/pair', `{${evil},"claimCode":"ABCD-EFGH-1234"}`],
    ['POST', '/login', `{${evil},"password":"${PASSWORD}"}`],
  ] as const) {
    assert.equal((await call(method, `/api${target}`, body)).status, 200, target);
  }
  assert.equal((await call('GET', '/api/content?__proto__=1&constructor=2&limit=5')).status, 200);
  assert.equal(({} as { polluted?: number }).polluted, undefined);
  assert.equal(household.now.wizardDone, false);
  assert.equal(household.now.uplink.monthlyBytes, 5);
  const { Household } = await import('#agent/settings/household.ts');
  const { DEFAULT_HOUSEHOLD } = await import('#protocol/household.ts');
  assert.deepEqual((await Household.open(folder, DEFAULT_HOUSEHOLD)).now, household.now);
  for (const name of ['__proto__', 'constructor', 'toString']) {
    assert.equal((await call('GET', `/api/${name}`)).status, 404, name);
  }
});

test('attack: no path leads out of the folder of the page', async (t) => {
  const { port, folder } = await serveLan(t);
  await writeFile(path.join(folder, 'password.txt'), 'the secret');
  for (const target of [
    '/../password.txt',
    '/..%2fpassword.txt',
    '/%2e%2e/password.txt',
    '/..\\password.txt',
    '/..%5cpassword.txt',
    '/%00/../password.txt',
    '/./../password.txt',
    '//password.txt',
    '/webui/../../password.txt',
    `${folder}/password.txt`,
    'http://127.0.0.1/../password.txt',
    '/password.txt?/../index.html',
  ]) {
    const got = await raw(port, `GET ${target} HTTP/1.1\r\nhost: mybox\r\nconnection: close\r\n\r\n`);
    assert.match(got, /^HTTP\/1\.1 4/, target);
    assert.doesNotMatch(got, /the secret/, target);
  }
});

test('attack: one device that takes connections leaves some to the others', async (t) => {
  const { port, call } = await serveLan(t);
  await call('POST', '/api/setup', { password: PASSWORD });
  const held: net.Socket[] = [];
  t.after(() => {
    for (const socket of held) socket.destroy();
  });
  let refused = 0;
  for (let n = 0; n < 60; n++) {
    const socket = net.connect(port, '127.0.0.1');
    held.push(socket);
    socket.on('error', () => undefined);
    socket.on('close', () => {
      refused++;
    });
    await once(socket, 'connect');
    socket.write('GET / HTTP/1.1\r\n');
  }
  const deadline = Date.now() + 20_000;
  while (refused < 36 && Date.now() < deadline) await new Promise((resolve) => setTimeout(resolve, 20));
  assert.equal(refused, 36);
  // Another address of the same machine.
  const got = await raw(
    port,
    'GET /api/session HTTP/1.1\r\nhost: mybox\r\nconnection: close\r\n\r\n',
    '127.0.0.2',
  );
  assert.match(got, /^HTTP\/1\.1 200 /);
});

test('the first run is open to the home alone, and says in the activity who went through it', async (t) => {
  const interfaces = {
    lo: [{ cidr: '127.0.0.1/8' }],
    br0: [{ cidr: '203.0.113.5/24' }, { cidr: '2001:db8:1:2::5/64' }, { cidr: null }],
  };
  for (const inside of [
    '127.0.0.1',
    '::1',
    '192.168.1.7',
    '::ffff:10.0.0.3',
    'fe80::1%eth0',
    'fd00::7',
    '203.0.113.9',
    '2001:db8:1:2::77',
  ]) {
    checkNeighbour(inside, interfaces);
  }
  for (const outside of [
    '198.51.100.7',
    '8.8.8.8',
    '203.0.114.9',
    '100.64.0.7',
    '2001:db8:1:3::77',
    '2a00::1',
    '',
    undefined,
  ]) {
    assert.throws(() => checkNeighbour(outside, interfaces), { code: 'forbidden' }, outside);
  }
  const { call, activity } = await serveLan(t);
  await call('POST', '/api/setup', { password: PASSWORD });
  const [first] = activity.list();
  assert.equal(first?.kind, 'password_set');
  assert.deepEqual(first?.detail, { address: '127.0.0.1' });
});

test('of many who set the first password at once, one does, and the others are told', async (t) => {
  const { call, forget } = await serveLan(t);
  const tries = await Promise.all(
    Array.from({ length: 5 }, (_, n) => call('POST', '/api/setup', { password: `the password of ${n}` })),
  );
  assert.equal(tries.filter(({ status }) => status === 200).length, 1);
  assert.equal(tries.filter(({ status }) => status === 409).length, 4);
  const winner = tries.findIndex(({ status }) => status === 200);
  forget();
  assert.equal((await call('POST', '/api/login', { password: `the password of ${winner}` })).status, 200);
});

/** What comes back for bytes sent as they are. */
async function raw(port: number, text: string, localAddress?: string): Promise<string> {
  const socket = net.connect({ port, host: '127.0.0.1', ...(localAddress ? { localAddress } : {}) });
  socket.setEncoding('utf8');
  let got = '';
  socket.on('data', (piece) => {
    got += piece;
  });
  socket.on('error', () => undefined);
  socket.write(text);
  await once(socket, 'close');
  return got;
}
