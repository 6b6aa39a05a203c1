import assert from 'node:assert/strict';
import { X509Certificate } from 'node:crypto';
import type { AddressInfo, Socket } from 'node:net';
import net from 'node:net';
import type { TestContext } from 'node:test';
import { test } from 'node:test';
import { enrol } from '#agent/identity/enrol.ts';
import type { Identity } from '#agent/identity/identity.ts';
import { StateDirectory } from '#agent/identity/identity.ts';
import { silent, tempFolder, until } from '#agent/store/store-fixture.ts';
import { verifyWithoutClock } from './dial.ts';
import { CLIENT_AUTH, FleetFixture, TestCa } from './fleet-fixture.ts';
import type { LinkOptions } from './link.ts';
import { Link } from './link.ts';

const YEAR_MS = 365 * 86_400_000;
const bootId = '00000000-0000-4000-8000-000000000000';
const never = new AbortController().signal;

async function paired(t: TestContext, options: { notBeforeMs?: number } = {}) {
  const fleet = await FleetFixture.start(options);
  t.after(() => fleet.close());
  const state = new StateDirectory(await tempFolder(t, 'state'));
  const identity = await enrol(state, fleet.url, fleet.newClaim(), () => new Date().toISOString(), never);
  return { fleet, identity };
}

function linkFor(t: TestContext, identity: Identity, more: Partial<LinkOptions> = {}) {
  const states: string[] = [];
  const problems: string[] = [];
  const link = new Link({
    identity,
    bootId,
    backoff: { baseMs: 10, capMs: 100 },
    keepaliveS: 30,
    nowMs: Date.now,
    log: silent,
    onMessage: () => undefined,
    onOnline: () => undefined,
    onState: (state, problem) => {
      states.push(state);
      if (problem) problems.push(problem);
    },
    ...more,
  });
  t.after(() => link.close());
  link.start();
  return { link, states, problems };
}

test('link: comes back after the broker has died, as often as it dies', async (t) => {
  const { fleet, identity } = await paired(t);
  const { link, states } = linkFor(t, identity);
  for (let n = 0; n < 3; n++) {
    await until(() => link.online, 'online');
    const hello = { v: 1 as const, at: new Date().toISOString(), bootId, agentVersion: String(n) };
    assert.equal(await link.publish('hello', hello), true);
    await fleet.waitFor('hello', (message) => message.agentVersion === String(n));
    await fleet.stopBroker();
    await until(() => !link.online, 'offline');
    assert.equal(await link.publish('hello', hello), false);
    await fleet.startBroker();
  }
  assert.ok(states.includes('offline'));
});

test('link: a broker that takes connections and says nothing is asked ever less often', async (t) => {
  const { identity } = await paired(t);
  const cameAtMs: number[] = [];
  const sockets = new Set<Socket>();
  const mute = net.createServer((socket) => {
    cameAtMs.push(performance.now());
    sockets.add(socket);
    socket.on('error', () => undefined);
  });
  await new Promise<void>((resolve) => mute.listen(0, '127.0.0.1', () => resolve()));
  t.after(() => {
    mute.close();
    for (const socket of sockets) socket.destroy();
  });
  const brokerUrl = `mqtts://127.0.0.1:${(mute.address() as AddressInfo).port}`;
  const { problems } = linkFor(
    t,
    { ...identity, brokerUrl },
    {
      times: { dialMs: 50, steadyMs: 20, acknowledgedMs: 1000 },
      backoff: { baseMs: 10, capMs: 60_000 },
      random: () => 0.999,
    },
  );
  await until(() => cameAtMs.length === 7, 'it is asked again and again');
  // Waits of 10, 20, 40 ... ms came between, each after 50 ms without an answer.
  const waited = cameAtMs.slice(1).map((at, n) => at - (cameAtMs[n] ?? 0));
  assert.ok((waited[5] ?? 0) > 300, `waited ${waited.map(Math.round)} ms`);
  assert.match(problems[0] ?? '', /no answer in time/);
});

test('link: a broker that never acknowledges is left, and what was told it counts as not told', async (t) => {
  const { fleet, identity } = await paired(t);
  const times = { dialMs: 20_000, steadyMs: 10_000, acknowledgedMs: 100 };
  const { link, problems } = linkFor(t, identity, { times });
  await until(() => link.online, 'online');
  fleet.takesMessages = false;
  const hello = { v: 1 as const, at: new Date().toISOString(), bootId, agentVersion: 'x' };
  assert.deepEqual(await Promise.all([link.publish('hello', hello), link.publish('hello', hello)]), [
    false,
    false,
  ]);
  await until(() => problems.length > 0, 'it is left');
  assert.match(problems[0] ?? '', /does not acknowledge/);
  fleet.takesMessages = true;
  await until(() => link.online, 'online again');
  assert.equal(await link.publish('hello', hello), true);
});

test('link: as many messages as may wait can wait, and no more', async (t) => {
  const { fleet, identity } = await paired(t);
  const { link, problems } = linkFor(t, identity);
  await until(() => link.online, 'online');
  fleet.takesMessages = false;
  const warnings: string[] = [];
  const warned = (warning: Error) => warnings.push(warning.message);
  process.on('warning', warned);
  t.after(() => process.off('warning', warned));
  const hello = { v: 1 as const, at: new Date().toISOString(), bootId, agentVersion: 'x' };
  const said = Promise.all(Array.from({ length: 2_001 }, () => link.publish('hello', hello)));
  assert.ok((await said).every((acknowledged) => !acknowledged));
  await until(() => problems.length > 0, 'the session is ended');
  assert.deepEqual(warnings, []);
});

test('link: says goodbye when asked to, and stays up for what is still to be said', async (t) => {
  const { fleet, identity } = await paired(t);
  const { link } = linkFor(t, identity);
  await until(() => link.online, 'online');
  await link.sayOffline();
  await fleet.waitFor('offline', (message) => message.bootId === bootId);
  assert.equal(link.online, true);
});

test('link: a broker of another CA, or for another address, is not talked to', async (t) => {
  const { identity } = await paired(t);
  const stranger = await FleetFixture.start();
  t.after(() => stranger.close());
  const { problems } = linkFor(t, { ...identity, brokerUrl: stranger.brokerUrl });
  await until(() => problems.length > 0, 'it is refused');
  assert.match(problems[0] ?? '', /certificate/);
  const named = linkFor(t, { ...identity, brokerUrl: identity.brokerUrl.replace('127.0.0.1', '127.0.0.2') });
  await until(() => named.problems.length > 0, 'it cannot be');
  const local = linkFor(t, { ...identity, brokerUrl: identity.brokerUrl.replace('127.0.0.1', 'localhost') });
  await until(
    () => local.problems.some((problem) => /altnames|does not match/i.test(problem)),
    'the name is checked',
  );
});

test('link: a box whose clock is years behind links all the same, and still trusts nobody else', async (t) => {
  // Every certificate of this fleet begins next year: to them this machine wakes in the past.
  const notBeforeMs = Date.now() + YEAR_MS;
  const { fleet, identity } = await paired(t, { notBeforeMs });
  const { link } = linkFor(t, identity);
  await until(() => link.online, 'online');
  const hello = { v: 1 as const, at: new Date().toISOString(), bootId, agentVersion: 'late' };
  assert.equal(await link.publish('hello', hello), true);
  await fleet.waitFor('hello');
  const stranger = await FleetFixture.start({ notBeforeMs });
  t.after(() => stranger.close());
  const { problems } = linkFor(t, { ...identity, brokerUrl: stranger.brokerUrl });
  await until(() => problems.length > 0, 'it is refused');
  assert.match(problems[0] ?? '', /not signed by the fleet's CA/);
});

test('link: without a clock the chain, the name, the purpose and the end are verified', async () => {
  const start = Date.now() + YEAR_MS;
  const ca = await TestCa.make(start);
  const other = await TestCa.make(start);
  const caCertificate = new X509Certificate(ca.pem);
  const good = new X509Certificate((await ca.issueServer('10.0.0.1')).cert);
  verifyWithoutClock(good, caCertificate, '10.0.0.1', start);
  assert.throws(() => verifyWithoutClock(good, caCertificate, '10.0.0.2', start), /not for 10\.0\.0\.2/);
  assert.throws(() => verifyWithoutClock(good, caCertificate, '10.0.0.1', start + 2 * YEAR_MS), /expired/);
  assert.throws(
    () => verifyWithoutClock(good, new X509Certificate(other.pem), '10.0.0.1', start),
    /not signed/,
  );
  assert.throws(() => verifyWithoutClock(caCertificate, caCertificate, '10.0.0.1', start), /CA certificate/);
  const client = await ca.issueServer('10.0.0.1', CLIENT_AUTH);
  assert.throws(
    () => verifyWithoutClock(new X509Certificate(client.cert), caCertificate, '10.0.0.1', start),
    /not a server's|not a server/,
  );
});
