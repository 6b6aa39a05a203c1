import assert from 'node:assert/strict';
import { test } from 'node:test';
import { HearthError } from '#protocol/errors.ts';
import { householdSettingsSchema } from '#protocol/household.ts';
import { PASSWORD, serveLan } from './lan-fixture.ts';

/** Every call that only somebody inside may make, with a body that would be taken. */
const INSIDE: [method: string, path: string, body?: unknown][] = [
  ['GET', '/status'],
  ['GET', '/content'],
  ['GET', '/earnings'],
  ['GET', '/activity'],
  ['GET', '/network'],
  ['GET', '/history'],
  ['GET', '/scrub'],
  ['GET', '/pair'],
  ['GET', '/settings'],
  ['GET', '/uplink'],
  ['GET', '/disks'],
  ['GET', '/logs'],
  ['GET', '/diagnostics'],
  ['GET', '/doctor'],
  ['GET', '/events'],
  ['POST', '/pair', { claimCode: 'ABCD-EFGH-1234' }],
  ['POST', '/password', { current: PASSWORD, next: 'another good password' }],
  ['PATCH', '/settings', { wizardDone: true }],
  ['POST', '/pause', { minutes: 60 }],
  ['DELETE', '/pause'],
  ['POST', '/uplink/test'],
  ['POST', '/doctor'],
  ['POST', '/disk', { mount: '/mnt' }],
  ['POST', '/disk/eject'],
  ['POST', '/disk/attach'],
  ['GET', '/away'],
  ['POST', '/away'],
  ['DELETE', '/away'],
];

test('lan: every call needs a session, and every change the header against CSRF', async (t) => {
  const { call, forget } = await serveLan(t);
  await call('POST', '/api/setup', { password: PASSWORD });
  forget();
  for (const [method, path, body] of INSIDE) {
    assert.equal((await call(method, `/api${path}`, body)).status, 401, `${method} ${path}`);
  }
  await call('POST', '/api/login', { password: PASSWORD });
  for (const [method, path, body] of INSIDE.filter(([each]) => each !== 'GET')) {
    assert.equal((await call(method, `/api${path}`, body, {})).status, 403, `${method} ${path}`);
    const foreign = { 'x-hearth-csrf': '1', origin: 'http://evil.example' };
    assert.equal((await call(method, `/api${path}`, body, foreign)).status, 403, `${method} ${path}`);
  }
});

test('lan: bodies are bounded and checked, whatever the call', async (t) => {
  const { call } = await serveLan(t);
  await call('POST', '/api/setup', { password: PASSWORD });
  const long = { wizardDone: true, padding: 'x'.repeat(20_000) };
  for (const path of ['/pause', '/disk', '/password', '/pair']) {
    assert.equal((await call('POST', `/api${path}`, long)).status, 413, path);
    assert.equal((await call('POST', `/api${path}`, { other: 1 })).status, 400, path);
  }
  assert.equal((await call('PATCH', '/api/settings', long)).status, 413);
  for (const minutes of [0, 1441, 1.5, '60', null]) {
    assert.equal((await call('POST', '/api/pause', { minutes })).status, 400, String(minutes));
  }
  for (const change of [
    { timeZone: 'Mars/Olympus' },
    { language: 'de' },
    { uplink: { upBytesPerSecond: 1 } },
    { disk: { mount: '', quota: null, floorBytes: null } },
  ]) {
    const refused = await call('PATCH', '/api/settings', change);
    assert.equal(refused.status, 400, JSON.stringify(change));
    assert.ok(refused.refusal().message.length > 5);
  }
  for (const query of ['limit=0', 'limit=1000', 'limit=x', `q=${'x'.repeat(300)}`, 'state=melted']) {
    assert.equal((await call('GET', `/api/content?${query}`)).status, 400, query);
  }
  assert.equal((await call('GET', '/api/logs?level=loud')).status, 400);
});

test('lan: settings are kept, a pause is a time, and ends when it is taken back', async (t) => {
  const { call, household } = await serveLan(t);
  await call('POST', '/api/setup', { password: PASSWORD });
  const changed = await call('PATCH', '/api/settings', { language: 'zh', timeZone: 'Asia/Shanghai' });
  assert.equal(changed.as(householdSettingsSchema).timeZone, 'Asia/Shanghai');
  assert.equal((await call('GET', '/api/settings')).as(householdSettingsSchema).language, 'zh');
  const aside = {
    disk: { mount: '/etc', quota: null, floorBytes: 5 },
    pausedUntil: '2099-01-01T00:00:00.000Z',
  };
  await call('PATCH', '/api/settings', aside);
  assert.deepEqual(household.now.disk, { mount: null, quota: null, floorBytes: 5 });
  assert.equal(household.now.pausedUntil, null);
  const before = Date.now();
  assert.equal((await call('POST', '/api/pause', { minutes: 60 })).status, 200);
  const leftMs = Date.parse(household.now.pausedUntil ?? '') - before;
  assert.ok(Math.abs(leftMs - 3_600_000) < 60_000, String(leftMs));
  assert.equal((await call('DELETE', '/api/pause')).status, 200);
  assert.equal(household.now.pausedUntil, null);
});

test('lan: what a box does not have is unavailable and says so; what it has is handed through', async (t) => {
  const bare = await serveLan(t);
  await bare.call('POST', '/api/setup', { password: PASSWORD });
  for (const path of ['/disks', '/scrub']) {
    const answer = await bare.call('GET', `/api${path}`);
    assert.equal(answer.status, 503, path);
    assert.equal(answer.refusal().code, 'unavailable');
  }
  assert.equal((await bare.call('POST', '/api/uplink/test')).status, 503);

  const done: unknown[] = [];
  const { call } = await serveLan(t, {
    disks: {
      fixed: null,
      list: async () => [],
      choose: async (mount, options) => {
        if (!options.adopt) throw new HearthError('disk_foreign', 'It is the disk of another box.');
        done.push([mount, options]);
      },
      eject: async () => void done.push('eject'),
      attach: async () => void done.push('attach'),
    },
  });
  await call('POST', '/api/setup', { password: PASSWORD });
  assert.deepEqual((await call('GET', '/api/disks')).json, { fixed: null, items: [] });
  const foreign = await call('POST', '/api/disk', { mount: '/mnt/usb' });
  assert.equal(foreign.refusal().code, 'disk_foreign');
  assert.equal((await call('POST', '/api/disk', { mount: '/mnt/usb', adopt: true })).status, 200);
  assert.equal((await call('POST', '/api/disk/eject')).status, 200);
  assert.equal((await call('POST', '/api/disk/attach')).status, 200);
  assert.deepEqual(done, [['/mnt/usb', { adopt: true }], 'eject', 'attach']);
});

test('lan: disks that hang keep nobody waiting where there is nothing to pick', async (t) => {
  const never = { choose: async () => {}, eject: async () => {}, attach: async () => {} };
  const { call } = await serveLan(t, {
    disks: { fixed: '/mnt/usb', list: () => new Promise(() => {}), ...never },
  });
  await call('POST', '/api/setup', { password: PASSWORD });
  assert.deepEqual((await call('GET', '/api/disks')).json, { fixed: '/mnt/usb', items: [] });
});

test('lan: a caller that has gone ends the measurement of the line', async (t) => {
  let begin = () => {};
  let end = () => {};
  const begun = new Promise<void>((resolve) => {
    begin = resolve;
  });
  const ended = new Promise<void>((resolve) => {
    end = resolve;
  });
  const { port, call, cookieNow } = await serveLan(t, {
    testUplink: (signal) => {
      signal.addEventListener('abort', () => end());
      begin();
      return new Promise(() => {});
    },
  });
  await call('POST', '/api/setup', { password: PASSWORD });
  const gone = new AbortController();
  const asked = fetch(`http://127.0.0.1:${port}/api/uplink/test`, {
    method: 'POST',
    headers: { 'x-hearth-csrf': '1', cookie: cookieNow() },
    signal: gone.signal,
  });
  await begun;
  gone.abort();
  await assert.rejects(asked);
  await ended;
});

test('lan: the password is changed by who knows it, everybody else is out, and guessing is slowed here too', async (t) => {
  const { call, cookieNow, forget, time } = await serveLan(t);
  await call('POST', '/api/setup', { password: PASSWORD });
  forget();
  await call('POST', '/api/login', { password: PASSWORD });
  const other = cookieNow();
  forget();
  await call('POST', '/api/login', { password: PASSWORD });
  const next = 'another good password';
  const wrong = await call('POST', '/api/password', { current: 'wrong', next });
  assert.equal(wrong.status, 403);
  assert.equal((await call('GET', '/api/status')).status, 200, 'a slip of the hand logs nobody out');
  assert.equal((await call('POST', '/api/password', { current: PASSWORD, next: 'short' })).status, 400);
  const before = cookieNow();
  assert.equal((await call('POST', '/api/password', { current: PASSWORD, next })).status, 200);
  assert.notEqual(cookieNow(), before);
  assert.equal((await call('GET', '/api/status')).status, 200);
  const mine = { 'x-hearth-csrf': '1' };
  for (const cookie of [other, before]) {
    assert.equal((await call('GET', '/api/status', undefined, { ...mine, cookie })).status, 401);
  }
  for (let n = 0; n < 5; n++) await call('POST', '/api/password', { current: 'wrong', next });
  assert.equal((await call('POST', '/api/password', { current: next, next: PASSWORD })).status, 429);
  time.ms += 61_000;
  assert.equal((await call('POST', '/api/password', { current: next, next: PASSWORD })).status, 200);
  forget();
  assert.equal((await call('POST', '/api/login', { password: next })).status, 401);
  assert.equal((await call('POST', '/api/login', { password: PASSWORD })).status, 200);
});
