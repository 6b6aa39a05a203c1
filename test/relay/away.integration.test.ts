import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { waitFor } from '#fleet/client/fleet-api.ts';
import { hashSecret } from '#fleet/operators/operators.ts';
import type { BoxAway, BoxAwayKey } from '#protocol/http-box.ts';
import { boxDetailSchema } from '#protocol/http-fleet.ts';
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
    assert.deepEqual(before, {
      ...{ on: false, urls: [], since: null, lastUsedAt: null, lastFrom: null, sessions: null },
    });
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

  it('who is in is listed, roughly, for the operator and at home; both can end it', async () => {
    const system = get();
    const { id } = system.box(0);
    const detail = async () => (await system.api.get(`/boxes/${id}`, boxDetailSchema)).away;
    const home = () => atHome.call<BoxAway>('GET', '/away');
    await system.api.raw('DELETE', `/boxes/${id}/away-sessions`);
    const [one, two] = [await arrive(), await arrive()];
    const secrets = [one, two].flatMap(
      (visitor) => visitor.cookiesFor(`/my/${id}/`).match(/[\w-]{43}/g) ?? [],
    );
    assert.ok(secrets.length >= 2);
    const now = await detail();
    assert.equal(now.on, true);
    const [second, first, ...more] = now.sessions;
    assert.ok(first && second);
    assert.deepEqual(more, []);
    assert.equal(first.from, '127.0.0.0/24');
    assert.ok(first.since < second.since && first.seenAt <= first.idleEndsAt);
    assert.ok(Date.parse(first.endsAt) > Date.parse(first.since));
    // No secret, nor what a secret can be made of, in any answer.
    const said = `${(await system.api.raw('GET', `/boxes/${id}`)).text}${JSON.stringify(await home())}`;
    for (const hidden of [...secrets, ...secrets.map((secret) => hashSecret(secret).toString('hex')), key]) {
      assert.ok(!said.includes(hidden));
    }

    const listed = (ids: string[]) =>
      waitFor(
        async () => {
          const { sessions } = await home();
          return (sessions && JSON.stringify(sessions.map((one) => one.id)) === JSON.stringify(ids)) || null;
        },
        () => `not so at home\n${system.logs()}`,
        PATIENCE,
      );
    const isOut = (visitor: AwayVisitor) =>
      waitFor(
        async () => (await visitor.ask('GET', `/my/${id}/api/status`)).status === 401 || null,
        'it still opens',
        PATIENCE,
      );
    await listed([second.id, first.id]);
    const { id: ended, ...rest } = (await home()).sessions?.[1] ?? { id: '' };
    assert.deepEqual(rest, { since: first.since, endsAt: first.endsAt, from: first.from });
    await atHome.call('POST', '/away/end', { sessions: [ended] });
    await isOut(one);
    await listed([second.id]);
    assert.equal((await two.ask('GET', `/my/${id}/api/status`)).status, 200);
    const { items } = await atHome.call<{ items: { kind: string }[] }>('GET', '/activity');
    assert.ok(items.some(({ kind }) => kind === 'away_ended'));

    // The operator: only at that box, and once.
    const other = system.box(1).id;
    const end = (box: string, session: string) =>
      system.api.raw('DELETE', `/boxes/${box}/away-sessions/${session}`);
    assert.equal((await end(other, second.id)).status, 404);
    assert.equal((await end(id, 'nonsense')).status, 400);
    assert.equal((await end(id, second.id)).status, 204);
    assert.equal((await end(id, second.id)).status, 404);
    await isOut(two);
    await listed([]);
    assert.deepEqual((await detail()).sessions, []);
    // A box ends its own alone, whatever it says.
    const three = await arrive();
    const [third] = (await detail()).sessions;
    await atHome.call('POST', '/away/end', { sessions: [randomUUID()] });
    assert.ok(third);
    assert.equal((await three.ask('GET', `/my/${id}/api/status`)).status, 200);
    assert.equal((await system.api.raw('DELETE', `/boxes/${id}/away-sessions`)).status, 204);
    await isOut(three);
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
