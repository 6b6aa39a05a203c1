import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import pino from 'pino';
import { logEventSchema } from '#protocol/http-box.ts';
import { PASSWORD, serveLan } from './lan-fixture.ts';

async function until(what: string, fine: () => boolean): Promise<void> {
  const deadline = Date.now() + 20_000;
  while (!fine()) {
    assert.ok(Date.now() < deadline, what);
    await sleep(20);
  }
}

const count = (text: string, event: string) => text.split(`event: ${event}\n`).length - 1;

test('events: the status at once and when it changes, activity and settings as they happen', async (t) => {
  const { call, listen, activity, household, status } = await serveLan(t);
  await call('POST', '/api/setup', { password: PASSWORD });
  const stream = await listen();
  assert.equal(stream.status, 200);
  assert.match(String(stream.headers['content-type']), /^text\/event-stream/);
  assert.equal(stream.headers['cache-control'], 'no-store');
  await until('no status', () => count(stream.text, 'status') >= 1);
  activity.add('online');
  await until('no activity', () => /event: activity\ndata: .*"online"/.test(stream.text));
  await household.change({ wizardDone: true });
  await until('no news of settings', () => count(stream.text, 'settings') === 1);
  await until('the first look', () => count(stream.text, 'status') >= 2);
  const seen = count(stream.text, 'status');
  await sleep(2_500);
  assert.equal(count(stream.text, 'status'), seen, 'what only counts the time is no news');
  status.connections = 7;
  await until('the change was not told', () => stream.text.includes('"connections":7'));
});

test('events: a page that comes back is told what it missed, and after a restart everything', async (t) => {
  const { call, listen, activity } = await serveLan(t);
  await call('POST', '/api/setup', { password: PASSWORD });
  activity.add('asset_held', { path: '/one' });
  const first = await listen();
  await until('no activity', () => first.text.includes('/one'));
  const id = /id: (\S+)/.exec(first.text)?.[1] ?? '';
  first.request.destroy();
  activity.add('asset_held', { path: '/two' });
  activity.add('asset_held', { path: '/three' });
  const again = await listen({ 'last-event-id': id });
  await until('not resumed', () => again.text.includes('/three'));
  assert.ok(!again.text.includes('/one'));
  assert.ok(again.text.indexOf('/two') < again.text.indexOf('/three'), 'oldest first');
  const other = await listen({ 'last-event-id': '00000000.999' });
  await until('not told all', () => other.text.includes('/one') && other.text.includes('/three'));
});

test('events: streams are bounded, and a place is free again when a page goes', async (t) => {
  const { call, listen, forget } = await serveLan(t);
  await call('POST', '/api/setup', { password: PASSWORD });
  const mine = await Promise.all(Array.from({ length: 6 }, () => listen()));
  assert.ok(mine.every((stream) => stream.status === 200));
  assert.equal((await listen()).status, 503, 'one session does not take all');
  mine[0]?.request.destroy();
  await until('no place became free', () => true);
  for (let tries = 0; ; tries++) {
    const stream = await listen();
    if (stream.status === 200) break;
    assert.ok(tries < 100, 'no place became free');
    await sleep(50);
  }
  let open = 6;
  let refused = 0;
  for (let session = 0; session < 3; session++) {
    forget();
    await call('POST', '/api/login', { password: PASSWORD });
    for (let n = 0; n < 6; n++) {
      if ((await listen()).status === 200) open++;
      else refused++;
    }
  }
  assert.equal(open, 16);
  assert.equal(refused, 8);
});

test('events: a stream ends with its session: logout, a new password, age', async (t) => {
  const { call, listen, forget, time } = await serveLan(t);
  await call('POST', '/api/setup', { password: PASSWORD });
  const left = await listen();
  await call('POST', '/api/logout', {});
  await until('it outlived the logout', () => left.ended);
  forget();
  await call('POST', '/api/login', { password: PASSWORD });
  const changed = await listen();
  await call('POST', '/api/password', { current: PASSWORD, next: 'another good password' });
  await until('it outlived the password', () => changed.ended);
  const old = await listen();
  assert.equal(old.status, 200);
  time.ms += 13 * 3_600_000;
  await until('it outlived its session', () => old.ended);
});

test('events: closing the server does not wait for pages', async (t) => {
  const { call, listen, lan } = await serveLan(t);
  await call('POST', '/api/setup', { password: PASSWORD });
  const stream = await listen();
  await lan.close();
  await until('still open', () => stream.ended);
});

/** The lines of the log a stream has brought, in the order they came, and how many it left out. */
function logOf(text: string): { texts: string[]; skipped: number; id: string } {
  const events = [...text.matchAll(/id: (\S+)\nevent: log\ndata: (.*)\n\n/g)];
  const told = events.map(([, , data]) => logEventSchema.parse(JSON.parse(data ?? '')));
  return {
    texts: told.flatMap(({ items }) => items.map((line) => line.text)),
    skipped: told.reduce((sum, { skipped }) => sum + skipped, 0),
    id: events.at(-1)?.[1] ?? '',
  };
}

test('events: the log as it is written, to those who ask for it, redacted', async (t) => {
  const { call, listen, logs } = await serveLan(t);
  await call('POST', '/api/setup', { password: PASSWORD });
  const log = pino({ level: 'debug', timestamp: pino.stdTimeFunctions.isoTime }, logs);
  log.info('before');
  const stream = await listen({}, '?log=1');
  const other = await listen();
  log.debug('a detail');
  log.warn({ password: PASSWORD }, `password: ${PASSWORD}`);
  await until('not told', () => logOf(stream.text).texts.length === 3);
  assert.deepEqual(logOf(stream.text).texts.slice(0, 2), ['before', 'a detail']);
  assert.ok(!stream.text.includes(PASSWORD));
  assert.equal(count(other.text, 'log'), 0, 'who does not ask is not told');
  assert.equal((await call('GET', `/api/events?since=${'x'.repeat(70)}`)).status, 400);
});

test('events: a page that comes back is told each line of the log once, by either way to say where it was', async (t) => {
  const { call, listen, logs, activity } = await serveLan(t);
  await call('POST', '/api/setup', { password: PASSWORD });
  const log = pino({ timestamp: pino.stdTimeFunctions.isoTime }, logs);
  for (let n = 0; n < 5; n++) log.info(`line ${n}`);
  const first = await listen({}, '?log=1');
  await until('not told', () => logOf(first.text).texts.length === 5);
  activity.add('online');
  await until('no activity', () => first.text.includes('"online"'));
  const id = [...first.text.matchAll(/id: (\S+)/g)].at(-1)?.[1] ?? '';
  first.request.destroy();
  log.info('while it was away');
  const byHeader = await listen({ 'last-event-id': id }, '?log=1');
  const byQuery = await listen({}, `?log=1&since=${id}`);
  for (const again of [byHeader, byQuery]) {
    await until('not resumed', () => logOf(again.text).texts.length > 0);
    assert.deepEqual(logOf(again.text).texts, ['while it was away']);
    assert.equal(count(again.text, 'activity'), 0, 'nor activity');
  }
  const restarted = await listen({ 'last-event-id': '00000000.1.5' }, '?log=1');
  await until('not told all', () => logOf(restarted.text).texts.length === 6);
});

test('events: a log that runs faster than pages can be told is cut, and says by how much', async (t) => {
  const { call, listen, logs } = await serveLan(t);
  await call('POST', '/api/setup', { password: PASSWORD });
  const log = pino({ timestamp: pino.stdTimeFunctions.isoTime }, logs);
  log.info('the first');
  const stream = await listen({}, '?log=1');
  await until('not told', () => logOf(stream.text).texts.length === 1);
  const many = 20_000;
  for (let n = 0; n < many; n++) log.info({ long: 'x y '.repeat(70) }, `line ${n}`);
  await until('not told', () => logOf(stream.text).texts.at(-1) === `line ${many - 1}`);
  const { texts, skipped } = logOf(stream.text);
  assert.ok(texts.length <= 501 && skipped > many - 501, `${texts.length} told, ${skipped} left out`);
  assert.equal(texts.length + skipped, many + 1, 'each is told or counted');
  assert.ok(stream.text.length < 400_000, `${stream.text.length} characters`);
  assert.equal(stream.ended, false);
});
