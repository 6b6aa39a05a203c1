import assert from 'node:assert/strict';
import { generateKeyPairSync, randomBytes } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { test } from 'node:test';
import pino from 'pino';
import * as z from 'zod';
import { redact } from '#agent/logs/redact.ts';
import { deliveryKeyFor, mintToken, sealKeyFor } from '#protocol/delivery-token.ts';
import { boxLogsSchema } from '#protocol/http-box.ts';
import { newClaimCode } from '#protocol/ids.ts';
import { PASSWORD, serveLan } from './lan-fixture.ts';

const bundleSchema = z.object({ logs: boxLogsSchema.shape.items });

test('no secret that slipped into a log line, a reason or a name leaves the box', async (t) => {
  const { call, cookieNow, logs, activity, folder } = await serveLan(t);
  await call('POST', '/api/setup', { password: PASSWORD });
  const key = deliveryKeyFor(randomBytes(32), 'box-1');
  const scope = { boxId: 'box-1', siteId: 's', prefix: '/a/', maxBytes: 9, expiresAtMs: Date.now() };
  const token = mintToken(scope, key, sealKeyFor(randomBytes(32)));
  const pem = generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey.export({
    type: 'pkcs8',
    format: 'pem',
  });
  const claim = newClaimCode();
  const record = JSON.parse(await readFile(path.join(folder, 'password.json'), 'utf8'));
  const session = cookieNow().split('=')[1] ?? '';
  const pemMiddle = String(pem).split('\n')[1] ?? '';
  const secrets = {
    key: key.toString('base64url'),
    keyBase64: key.toString('base64'),
    token,
    pem: pemMiddle,
    hash: record.hash,
    claim,
    claimLower: claim.toLowerCase(),
    session,
    password: PASSWORD,
    basic: 'operator:hunter2hunter2',
  };
  const log = pino({ level: 'debug', timestamp: pino.stdTimeFunctions.isoTime }, logs);
  for (const [name, secret] of Object.entries(secrets)) {
    if (name === 'password') continue;
    const told = name === 'basic' ? `https://${secret}@fleet.test/x` : secret;
    log.warn({ reason: `it failed for ${told} in the end` }, 'planted');
    log.info({ url: `http://192.0.2.1:7090/v1/${told}/film.mp4`, nested: { deep: [told] } }, `said ${told}`);
    activity.add('asset_failed', { path: '/a', message: `no ${told}` });
  }
  log.error({ reason: String(pem), deliveryKey: 'short-key', password: PASSWORD }, 'a key in a reason');
  log.info({ cookie: `hearth_box_session=${session}`, authorization: 'Bearer abc' }, `password: ${PASSWORD}`);

  const said = await call('GET', '/api/logs?level=debug');
  const bundle = await call('GET', '/api/diagnostics');
  assert.equal(bundle.status, 200);
  assert.match(String(bundle.headers['content-disposition']), /^attachment; filename="hearth-diagnostics-/);
  assert.ok(
    said.as(boxLogsSchema).items.length > 10 && bundle.as(bundleSchema).logs.length > 10,
    'there are lines to look at',
  );
  assert.ok(said.text.includes('planted') && bundle.text.includes('planted'));
  for (const target of ['status', 'settings', 'content', 'network', 'session', 'pair', 'earnings']) {
    const answer = await call('GET', `/api/${target}`);
    for (const secret of Object.values(secrets)) assert.ok(!answer.text.includes(secret), target);
  }
  for (const [name, secret] of Object.entries(secrets)) {
    assert.ok(!said.text.includes(secret), `logs: ${name}`);
    assert.ok(!bundle.text.includes(secret), `bundle: ${name}`);
  }
  for (const text of [said.text, bundle.text]) assert.ok(!/short-key|BEGIN|Bearer abc/.test(text));
});

test('what is no secret stays readable', () => {
  const sha = randomBytes(32).toString('hex');
  for (const text of [
    `object ${sha} could not be read`,
    'http://192.168.1.20:7090/film.mp4 answered 404',
    '/hls/1080p/a-rather-long-name-of-a-folder/segment-00012.ts',
    `/mnt/usb/hearth/objects/${sha}`,
    'linked to the fleet',
    '2026-11-21T10:00:00.000Z',
  ]) {
    assert.equal(redact(text), text);
  }
});

test('logs: what is asked for again is what came since, by level, and bounded', async (t) => {
  const { call, logs } = await serveLan(t);
  await call('POST', '/api/setup', { password: PASSWORD });
  const log = pino({ level: 'debug', timestamp: pino.stdTimeFunctions.isoTime }, logs);
  for (let n = 0; n < 700; n++) log.info(`line ${n}`);
  log.debug('a detail');
  log.error({ reason: 'why' }, 'a fault');
  const all = (await call('GET', '/api/logs?level=debug')).as(boxLogsSchema).items;
  assert.equal(all.length, 500);
  assert.equal(all.at(-1)?.text, 'a fault');
  assert.deepEqual(all.at(-1)?.fields, { reason: 'why' });
  assert.deepEqual((await call('GET', '/api/logs?level=error')).as(boxLogsSchema).items.length, 1);
  const since = (await call('GET', `/api/logs?after=${all.at(-1)?.seq}`)).as(boxLogsSchema).items;
  assert.deepEqual(since, []);
  assert.equal(
    (await call('GET', '/api/logs?after=99999&level=error')).as(boxLogsSchema).items.length,
    1,
    'after a restart',
  );
});
