import assert from 'node:assert/strict';
import type { Duplex } from 'node:stream';
import { test } from 'node:test';
import tls from 'node:tls';
import { waitFor } from '#fleet/client/fleet-api.ts';
import { awayRig, PAGE, until } from './away-rig.ts';
import { AwayVisitor } from './away-visitor.ts';

test('a hostile box makes no page, script or cookie of the relay’s origin, and breaks nothing', async (t) => {
  const { relayNamed, boxServing, key, letIn, ca } = await awayRig(t);
  const { relay, base } = await relayNamed('relay.localhost');
  const seen: { url: string | undefined; headers: Record<string, unknown> }[] = [];
  const box = await boxServing((request, response) => {
    seen.push({ url: request.url, headers: request.headers });
    response.writeHead(200, {
      'content-type': 'text/html',
      'content-security-policy': "default-src * 'unsafe-inline'",
      location: 'https://evil.test/',
      'access-control-allow-origin': '*',
      'set-cookie': [
        '__Secure-hearth_away=stolen; Path=/',
        'hearth_box_session=abc; Path=/; Domain=localhost; Max-Age=5',
        'other=1; Path=/my/',
      ],
    });
    response.end('<script>alert(1)</script>');
  });
  box.tunnels.use([relay.urls.tunnelUrl]);
  await until('connected', () => relay.tunnels.has(box.id));
  await letIn(box);
  const visitor = new AwayVisitor(base, ca);
  assert.equal(await visitor.showKey(box.id, key), 303);
  const answer = await visitor.ask('GET', `/my/${box.id}/api/status?x=1`, undefined, {
    'x-forwarded-for': '10.0.0.1',
  });
  assert.equal(answer.headers['content-type'], 'application/octet-stream');
  assert.match(String(answer.headers['content-disposition']), /^attachment/);
  assert.match(String(answer.headers['content-security-policy']), /^default-src 'none'.*sandbox/);
  assert.equal(answer.headers['access-control-allow-origin'], undefined);
  assert.equal(answer.headers.location, undefined);
  assert.deepEqual(answer.headers['set-cookie'], [
    `__Host-hearth_box_${box.id}=abc; HttpOnly; Secure; SameSite=Strict; Path=/; Max-Age=5`,
  ]);
  // The relay's own cookie is none of the box's business, nor what a client makes up.
  assert.equal(seen[0]?.url, '/api/status?x=1');
  assert.equal(seen[0].headers.cookie, undefined);
  assert.equal(seen[0].headers['x-forwarded-for'], undefined);
  await visitor.ask('GET', `/my/${box.id}/api/status`);
  assert.equal(seen[1]?.headers.cookie, 'hearth_box_session=abc');
  // The page is the fleet's own, whatever the box would say.
  const page = await visitor.ask('GET', `/my/${box.id}/`);
  assert.equal(page.text, PAGE);
  assert.match(String(page.headers['content-security-policy']), /script-src 'self'/);
  assert.equal((await visitor.ask('GET', `/my/${box.id}/app-ABCDEFGH.js`)).text, 'true');
  assert.equal(seen.length, 2);
});

test("content of boxes under the relay's name gets nothing of the origin that dashboards have", async (t) => {
  const { relayNamed, boxServing, ca } = await awayRig(t);
  const { relay, base } = await relayNamed('relay.localhost');
  const box = await boxServing(
    (_, response) => response.end(),
    false,
    (stream, headers) => {
      if (headers[':path'] === '/c/unwritable') {
        stream.respond({ ':status': 200, 'content-length': 1, trailer: 'x', 'x-left': 'behind' });
        stream.end('x');
        return;
      }
      stream.respond({
        ':status': 200,
        'content-type': 'text/html',
        'content-security-policy': "default-src 'self'",
        'cache-control': 'max-age=60',
        'set-cookie': ['__Host-hearth_away_x=1; Secure; Path=/', 'hearth=1'],
        'service-worker-allowed': '/',
        'clear-site-data': '"*"',
        'alt-svc': 'h2="evil.test:443"',
        'strict-transport-security': 'max-age=9; includeSubDomains',
      });
      stream.end('<script>alert(1)</script>');
    },
  );
  box.tunnels.use([relay.urls.tunnelUrl]);
  await until('connected', () => relay.tunnels.has(box.id));
  const visitor = new AwayVisitor(base, ca);
  const answer = await visitor.ask('GET', `/b/${box.id}/c/x`);
  assert.equal(answer.text, '<script>alert(1)</script>');
  assert.equal(answer.headers['cache-control'], 'max-age=60');
  const policy = String(answer.headers['content-security-policy']);
  assert.match(policy, /^sandbox allow-scripts [^,]*, default-src 'self'$/);
  assert.doesNotMatch(policy, /allow-same-origin|allow-top-navigation/);
  for (const name of [
    'set-cookie',
    'service-worker-allowed',
    'clear-site-data',
    'alt-svc',
    'strict-transport-security',
  ]) {
    assert.equal(answer.headers[name], undefined, name);
  }
  const unwritable = await visitor.ask('GET', `/b/${box.id}/c/unwritable`);
  assert.equal(unwritable.status, 503);
  assert.equal(unwritable.headers['x-left'], undefined);
  assert.match(String(unwritable.headers['content-security-policy']), /^sandbox/);
  const worker = await visitor.ask('GET', `/b/${box.id}/c/x`, undefined, { 'service-worker': 'script' });
  assert.equal(worker.status, 403);
  // Where no dashboards are, documents are as their site made them; cookies are no box's there either.
  const plain = await fetch(`${relay.urls.publicUrl}/b/${box.id}/c/x`);
  assert.equal(plain.headers.get('content-security-policy'), "default-src 'self'");
  assert.equal(plain.headers.get('set-cookie'), null);
});

test('pages beside the relay call no dashboard: another site or a neighbour of the same domain', async (t) => {
  const { relayNamed, boxServing, key, letIn, ca } = await awayRig(t);
  const { relay, base } = await relayNamed('relay.localhost');
  let asked = 0;
  const box = await boxServing((_, response) => {
    asked++;
    response.writeHead(200, { 'content-type': 'application/json' }).end('{}');
  });
  box.tunnels.use([relay.urls.tunnelUrl]);
  await until('connected', () => relay.tunnels.has(box.id));
  await letIn(box);
  const visitor = new AwayVisitor(base, ca);
  assert.equal(await visitor.showKey(box.id, key), 303);
  const from = (site: string, mode: string, path: string) =>
    visitor.ask('GET', `/my/${box.id}/${path}`, undefined, {
      'sec-fetch-site': site,
      'sec-fetch-mode': mode,
    });
  assert.equal((await from('same-origin', 'cors', 'api/status')).status, 200);
  for (const site of ['cross-site', 'same-site']) {
    for (const mode of ['cors', 'no-cors', 'navigate']) {
      assert.equal((await from(site, mode, 'api/status')).status, 403, `${site} ${mode}`);
    }
    assert.equal((await from(site, 'no-cors', 'app-ABCDEFGH.js')).status, 403, site);
    // A link in a letter leads in.
    assert.equal((await from(site, 'navigate', '')).text, PAGE, site);
  }
  assert.equal(asked, 1);
  // Coming in anew ends what was open before.
  const before = visitor.cookiesFor(`/my/${box.id}/`);
  assert.equal(await visitor.showKey(box.id, key), 303);
  const old = await visitor.ask('GET', `/my/${box.id}/api/status`, undefined, { cookie: before });
  assert.equal(old.status, 401);
});

test('boxes that answer garbage, nothing, or break off: an error of the relay’s, and the next call is served', async (t) => {
  const { relayNamed, boxServing, key, letIn, ca } = await awayRig(t);
  const { relay, base } = await relayNamed('relay.localhost');
  for (const [name, say, status] of [
    ['garbage', (connection: Duplex) => connection.end('\0\0 what?\r\n\r\n'), 503],
    [
      'no status',
      (connection: Duplex) => connection.end('HTTP/1.1 042 No\r\nContent-Length: 0\r\n\r\n'),
      503,
    ],
    ['an end', (connection: Duplex) => connection.end(), 503],
    ['a reset', (connection: Duplex) => connection.destroy(), 503],
    [
      'a head without end',
      (connection: Duplex) => connection.write(`HTTP/1.1 200 OK\r\n${'x: y\r\n'.repeat(10_000)}`),
      503,
    ],
  ] as const) {
    const box = await boxServing((connection: Duplex) => {
      connection.on('error', () => undefined);
      connection.once('data', () => say(connection));
    }, true);
    box.tunnels.use([relay.urls.tunnelUrl]);
    await until('connected', () => relay.tunnels.has(box.id));
    await letIn(box);
    const visitor = new AwayVisitor(base, ca);
    assert.equal(await visitor.showKey(box.id, key), 303);
    const answer = await visitor.ask('GET', `/my/${box.id}/api/status`);
    assert.equal(answer.status, status, name);
    assert.equal(answer.json().error?.code, 'unavailable', name);
  }
  // A promise that is not kept must not pass for the whole.
  const short = await boxServing((_, response) => {
    response.writeHead(200, { 'content-type': 'application/json', 'content-length': 100 });
    response.write('{');
    setTimeout(() => response.destroy(), 50);
  });
  short.tunnels.use([relay.urls.tunnelUrl]);
  await until('connected', () => relay.tunnels.has(short.id));
  await letIn(short);
  const visitor = new AwayVisitor(base, ca);
  assert.equal(await visitor.showKey(short.id, key), 303);
  await assert.rejects(visitor.ask('GET', `/my/${short.id}/api/status`));
  assert.equal((await visitor.ask('GET', `/my/${short.id}/`)).status, 200);
});

test('hostile paths and bodies lead nowhere; keys are tried so often and no oftener', async (t) => {
  const { relayNamed, boxServing, key, letIn, ca } = await awayRig(t);
  const { relay, base } = await relayNamed('relay.localhost');
  const asked: (string | undefined)[] = [];
  const box = await boxServing((request, response) => {
    asked.push(request.url);
    request.resume();
    response.writeHead(200, { 'content-type': 'application/json' }).end('{}');
  });
  box.tunnels.use([relay.urls.tunnelUrl]);
  await until('connected', () => relay.tunnels.has(box.id));
  await letIn(box);
  const visitor = new AwayVisitor(base, ca);
  assert.equal(await visitor.showKey(box.id, key), 303);
  const cookie = visitor.cookiesFor(`/my/${box.id}/`);
  for (const path of [
    '/my/',
    '/my/box-1/',
    `/my/${box.id}x/`,
    `/my/${box.id}/../${box.id}/api/status`,
    `/my/${box.id}/%2e%2e/etc/passwd`,
    `/my/${box.id}//etc/passwd`,
    `/my/${box.id}/relay.localhost.key`,
    `/my/${box.id}/index.html.gz`,
    `/my//${box.id}/api/status`,
  ]) {
    assert.equal((await visitor.ask('GET', path, undefined, { cookie })).status, 404, path);
  }
  assert.equal((await visitor.ask('GET', `/my/${box.id}`)).headers.location, `${base}/my/${box.id}/`);
  const long = await visitor.ask('POST', `/my/${box.id}/api/x`, { long: 'x'.repeat(100_000) });
  assert.equal(long.status, 413);
  assert.equal(long.json().error?.code, 'payload_too_large');
  assert.deepEqual(
    asked.filter((url) => url !== '/api/x'),
    [],
  );
  // No other protocol comes through: the answer is that of the request without the wish for one.
  const upgraded = await visitor.ask('GET', `/my/${box.id}/api/status`, undefined, {
    connection: 'upgrade',
    upgrade: 'websocket',
    'sec-websocket-key': 'AAAAAAAAAAAAAAAAAAAAAA==',
    'sec-websocket-version': '13',
  });
  assert.equal(upgraded.status, 200);
  assert.equal(upgraded.headers.upgrade, undefined);
  assert.equal(asked.pop(), '/api/status');
  // Not by the port without TLS, and not by a name that is another's.
  const plain = await fetch(`${relay.urls.publicUrl}/my/${box.id}/`);
  assert.equal(plain.status, 404);
  const socket = tls.connect({
    host: '127.0.0.1',
    port: relay.urls.tlsPort,
    servername: 'other.localhost',
    ca,
  });
  const [error] = await new Promise<[Error]>((resolve) => socket.once('error', (cause) => resolve([cause])));
  assert.match(error.message, /unrecognized name/i);

  const statuses: number[] = [];
  for (let n = 0; n < 20; n++) statuses.push(await visitor.showKey(box.id, 'wrong'));
  assert.ok(statuses.includes(403) && statuses.at(-1) === 429, statuses.join());
  // The right key has to wait as well; who is in already is not kept out.
  assert.equal(await visitor.showKey(box.id, key), 429);
  assert.equal((await visitor.ask('GET', `/my/${box.id}/api/x`)).status, 200);
});

test('a reader who leaves in the middle is gone at the box too', async (t) => {
  const { relayNamed, boxServing, key, letIn, ca } = await awayRig(t);
  const { relay, base } = await relayNamed('relay.localhost');
  let [open, asked] = [0, 0];
  const box = await boxServing((connection: Duplex) => {
    open++;
    connection.once('close', () => open--).on('error', () => undefined);
    connection.once('data', () => {
      asked++;
      connection.write('HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: 1\n\n');
    });
  }, true);
  box.tunnels.use([relay.urls.tunnelUrl]);
  await until('connected', () => relay.tunnels.has(box.id));
  await letIn(box);
  const visitor = new AwayVisitor(base, ca);
  assert.equal(await visitor.showKey(box.id, key), 303);
  for (let n = 1; n <= 3; n++) {
    const events = await visitor.open('GET', `/my/${box.id}/api/events`);
    assert.equal(asked, n);
    events.destroy();
    await until('left at the relay', () => relay.tunnels.streams === 0);
    await until('left at the box', () => open === 0);
  }
});

test('who comes in without end leaves a record of some length, and other boxes have theirs', async (t) => {
  const { relayNamed, boxServing, key, letIn, ca, database } = await awayRig(t);
  const { base } = await relayNamed('relay.localhost');
  const [box, other] = [await boxServing(() => undefined), await boxServing(() => undefined)];
  await letIn(box);
  for (const { id } of [box, other]) {
    await database.query(
      `INSERT INTO away_sessions (secret_hash, box_id, key_sha256, client, created_at, ended_at)
        SELECT decode(md5($1 || n), 'hex'), $1, '', '127.0.0.1', now() - n * interval '1 minute', now()
        FROM generate_series(1, 500) AS n`,
      [id],
    );
  }
  assert.equal(await new AwayVisitor(base, ca).showKey(box.id, key), 303);
  const count = async ({ id }: typeof box) =>
    (await database.query('SELECT id FROM away_sessions WHERE box_id = $1', [id])).length;
  assert.deepEqual([await count(box), await count(other)], [200, 500]);
});

test('a box at another relay: its reader is sent there', async (t) => {
  const { relayNamed, boxServing, key, letIn, ca, database } = await awayRig(t);
  const first = await relayNamed('one.localhost');
  const second = await relayNamed('two.localhost');
  const box = await boxServing((_, response) => response.end());
  box.tunnels.use([second.relay.urls.tunnelUrl]);
  await waitFor(
    async () => (await database.query('SELECT 1 FROM relay_tunnels')).length > 0 || null,
    'not connected',
    { timeoutMs: 20_000 },
  );
  await letIn(box);
  const visitor = new AwayVisitor(first.base, ca);
  assert.equal(await visitor.showKey(box.id, key), 303);
  const page = await visitor.ask('GET', `/my/${box.id}/`);
  assert.equal(page.headers.location, `${second.base}/my/${box.id}/`);
  // It was here until this moment, by what is written: nobody is sent round in a circle.
  await database.query(
    'UPDATE relay_tunnels SET relay_id = (SELECT id FROM relays WHERE dashboard_url = $1)',
    [first.base],
  );
  assert.equal((await visitor.ask('GET', `/my/${box.id}/`)).status, 503);
});
