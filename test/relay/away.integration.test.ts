import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { waitFor } from '#fleet/client/fleet-api.ts';
import type { BoxAway, BoxAwayKey } from '#protocol/http-box.ts';
import { testPort, useSystem } from '#test/support/system.ts';
import { AtHome, AwayVisitor, ownCertificate } from './away-visitor.ts';

const PASSWORD = 'a lamp beside the door';
const PATIENCE = { timeoutMs: 60_000 };
/** Keys may be tried so often only. */
const KEY_PATIENCE = { ...PATIENCE, everyMs: 1_500 };
const folder = mkdtempSync(join(tmpdir(), 'hearth-away-'));
const tlsPort = await testPort();
const base = `https://relay.localhost:${tlsPort}`;
const { ca, files } = await ownCertificate(folder, 'relay.localhost');
after(() => rmSync(folder, { recursive: true, force: true }));

describe('the dashboard away from home, through a relay', () => {
  const get = useSystem({
    boxes: 2,
    fleetEnv: {
      HEARTH_RELAY_TLS_PORT: String(tlsPort),
      HEARTH_RELAY_CERT: files.cert,
      HEARTH_RELAY_KEY: files.key,
    },
  });
  let atHome: AtHome;
  let key = '';

  /** Away, with the key shown and the box's password given. */
  const arrive = async (): Promise<AwayVisitor> => {
    const visitor = new AwayVisitor(base, ca);
    const { id } = get().box(0);
    let told = '';
    await waitFor(
      async () => (await visitor.showKey(id, key)) === 303 || null,
      () => `the key is not taken\n${get().logs()}`,
      KEY_PATIENCE,
    );
    await waitFor(
      async () => {
        const answer = await visitor.ask('POST', `/my/${id}/api/login`, { password: PASSWORD });
        told = answer.text;
        return answer.status === 200 || null;
      },
      () => `no login at the box: ${told}\n${get().logs()}`,
      PATIENCE,
    );
    return visitor;
  };

  it('is off until it is switched on at home: no key opens anything, and the box says no itself', async () => {
    const { id } = get().box(0);
    atHome = new AtHome(get().box(0));
    await atHome.call('POST', '/setup', { password: PASSWORD });
    const before = await atHome.call<BoxAway>('GET', '/away');
    assert.deepEqual(before, { on: false, urls: [], since: null, lastUsedAt: null, lastFrom: null });
    const stranger = new AwayVisitor(base, ca);
    const page = await stranger.ask('GET', `/my/${id}/`);
    assert.equal(page.status, 200);
    assert.match(page.text, /<form method="post" action=".\/login">/);
    assert.doesNotMatch(page.text, /<script/);
    assert.equal(await stranger.showKey(id, 'AAAAA-AAAAA-AAAAA-AAAAA-AAAAA'), 403);
    assert.equal(await stranger.showKey(id, ''), 403);
    assert.equal((await stranger.ask('GET', `/my/${id}/api/status`)).status, 401);
  });

  it('switched on, it is the whole dashboard: key, password, calls, live events; and home sees who was there', async () => {
    const system = get();
    const { id } = system.box(0);
    const made = await atHome.call<BoxAwayKey>('POST', '/away');
    assert.equal(made.on, true);
    key = made.key;
    // A box that is reached directly comes to the relay for this alone.
    await waitFor(
      async () => (await atHome.call<BoxAway>('GET', '/away')).urls.includes(`${base}/my/${id}/`) || null,
      () => `the box is told no address\n${system.logs()}`,
      PATIENCE,
    );
    const visitor = await arrive();
    const status = (await visitor.ask('GET', `/my/${id}/api/status`)).json();
    assert.equal((status.box as { id: string }).id, id);
    // A change, and the stream of events tells of it.
    const events = await visitor.open('GET', `/my/${id}/api/events`);
    assert.match(String(events.headers['content-type']), /^text\/event-stream/);
    let told = '';
    events.on('data', (piece) => {
      told += String(piece);
    });
    await waitFor(async () => told.includes('event: status') || null, 'no event', PATIENCE);
    const changed = await visitor.ask('PATCH', `/my/${id}/api/settings`, { language: 'zh' });
    assert.equal(changed.status, 200);
    await waitFor(async () => told.includes('event: settings') || null, 'not told of the change', PATIENCE);
    events.destroy();
    assert.equal((await atHome.call<{ language: string }>('GET', '/settings')).language, 'zh');
    // Both books have it.
    const now = await atHome.call<BoxAway>('GET', '/away');
    assert.ok(now.lastUsedAt);
    assert.equal(now.lastFrom, '127.0.0.1');
    const { items } = await atHome.call<{ items: { kind: string }[] }>('GET', '/activity');
    assert.ok(items.some(({ kind }) => kind === 'away_on') && items.some(({ kind }) => kind === 'away_used'));
    assert.match(system.logs(), /somebody came in to a dashboard from away/);
    assert.match(system.box(0).log(), /the dashboard is looked at from away/);
  });

  it('what a thief of the key would want is done at home alone; requests of other sites are refused', async () => {
    const { id } = get().box(0);
    const visitor = await arrive();
    for (const [route, body] of [
      ['setup', { password: 'a stranger in the house' }],
      ['password', { current: PASSWORD, next: 'a stranger in the house' }],
      ['pair', { claimCode: '7K3M-9Q2X-5D1W' }],
      ['away', undefined],
    ] as const) {
      const answer = await visitor.ask('POST', `/my/${id}/api/${route}`, body);
      assert.equal(answer.status, 403, route);
    }
    const pause = (headers: Record<string, string>) =>
      visitor.ask('POST', `/my/${id}/api/pause`, { minutes: 1 }, headers);
    assert.equal((await pause({ origin: 'https://evil.test' })).status, 403);
    assert.equal((await pause({ 'x-hearth-csrf': '0' })).status, 403);
    assert.equal(
      (await visitor.ask('GET', `/my/${id}/api/status`, undefined, { host: 'evil.test' })).status,
      404,
    );
    assert.equal(
      (await visitor.ask('POST', `/my/${id}/login`, `key=${key}`, { origin: 'null' })).status,
      403,
    );
    // The key alone is not enough: the box wants its password.
    const thief = new AwayVisitor(base, ca);
    assert.equal(await thief.showKey(id, key.toLowerCase().replaceAll('-', ' ')), 303);
    assert.equal((await thief.ask('GET', `/my/${id}/api/status`)).status, 401);
    assert.equal((await thief.ask('GET', `/my/${id}/api/session`)).status, 200);
  });

  it("a session opens its own box alone: not another's, whose key it is not", async () => {
    const system = get();
    const [mine, other] = [system.box(0).id, system.box(1).id];
    const visitor = await arrive();
    const cookie = visitor.cookiesFor(`/my/${mine}/`);
    assert.ok(cookie.includes(`__Host-hearth_away_${mine}=`));
    // Both under the other's names too, as a page of the other box would have them.
    for (const sent of [cookie, cookie.replaceAll(mine, other)]) {
      const answer = await visitor.ask('GET', `/my/${other}/api/session`, undefined, { cookie: sent });
      assert.equal(answer.status, 401);
    }
    assert.equal(await visitor.showKey(other, key), 403);
  });

  it('another key ends what came by the old one; leaving, switching off and revoking end it too', async () => {
    const system = get();
    const { id } = system.box(0);
    const old = await arrive();
    const events = await old.open('GET', `/my/${id}/api/events`);
    const ended = new Promise((resolve) => events.once('close', resolve));
    events.resume();
    key = (await atHome.call<BoxAwayKey>('POST', '/away')).key;
    await ended;
    const isOut = (visitor: AwayVisitor) =>
      waitFor(
        async () => [401, 403].includes((await visitor.ask('GET', `/my/${id}/api/status`)).status) || null,
        'it still opens',
        PATIENCE,
      );
    await isOut(old);

    const leaving = await arrive();
    assert.equal((await leaving.ask('POST', `/my/${id}/api/logout`)).status, 200);
    await isOut(leaving);

    const off = await arrive();
    await atHome.call('DELETE', '/away');
    await isOut(off);
    await waitFor(
      async () => (await off.showKey(id, key)) === 403 || null,
      'the key of before is still taken',
      KEY_PATIENCE,
    );

    key = (await atHome.call<BoxAwayKey>('POST', '/away')).key;
    const revoked = await arrive();
    assert.equal((await system.api.raw('DELETE', `/boxes/${id}`)).status, 204);
    await isOut(revoked);
    await waitFor(
      async () => (await revoked.showKey(id, key)) !== 303 || null,
      'a revoked box is still opened',
      KEY_PATIENCE,
    );
  });
});
