import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer, type RequestListener } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Duplex } from 'node:stream';
import type { TestContext } from 'node:test';
import { test } from 'node:test';
import tls from 'node:tls';
import { waitFor } from '#fleet/client/fleet-api.ts';
import { createCa, openCa } from '#fleet/keys/certificate-authority.ts';
import { awayKeyHash, newAwayKey } from '#protocol/ids.ts';
import { AwayVisitor } from './away-visitor.ts';
import { type RigBox, relayRig } from './fixture.ts';

const PAGE = '<!doctype html><title>the fleet’s own page</title>';

/** Relays with a certificate, and boxes whose dashboards are whatever a test says. */
async function rig(t: TestContext) {
  const folder = await mkdtemp(join(tmpdir(), 'hearth-away-'));
  t.after(() => rm(folder, { recursive: true, force: true }));
  const issuer = openCa(await createCa());
  const made = await relayRig(t);
  await writeFile(join(folder, 'index.html'), PAGE);
  await writeFile(join(folder, 'app-ABCDEFGH.js'), 'true');
  const relayNamed = async (name: string) => {
    const { certificatePem, keyPem } = await issuer.issueServer([name]);
    const ownTls = { cert: join(folder, `${name}.pem`), key: join(folder, `${name}.key`) };
    await writeFile(ownTls.cert, certificatePem);
    await writeFile(ownTls.key, keyPem);
    const relay = await made.relay({ own: { ownTls, webuiDir: folder } });
    return { relay, base: `https://${name}:${relay.urls.tlsPort}` };
  };
  const boxServing = async (page: RequestListener | ((connection: Duplex) => void), raw = false) => {
    const server = createServer(raw ? undefined : (page as RequestListener));
    t.after(() => server.close());
    const box = await made.box({
      onRequest: (stream) => {
        stream.respond({ ':status': 200, 'content-type': 'text/plain' });
        stream.end('content');
      },
      onDashboard: {
        admit: () => 200,
        serve: (connection) =>
          raw
            ? (page as (connection: Duplex) => void)(connection)
            : void server.emit('connection', connection),
      },
    });
    return box;
  };
  const key = newAwayKey();
  const letIn = ({ id }: RigBox) =>
    made.database.query(
      "UPDATE boxes SET heartbeat = jsonb_build_object('away', jsonb_build_object('keySha256', $2::text)) WHERE id = $1",
      [id, awayKeyHash(key)],
    );
  return { ...made, relayNamed, boxServing, key, letIn, ca: issuer.certificatePem };
}

const until = (what: string, holds: () => boolean) =>
  waitFor(async () => holds() || null, `still not: ${what}`, { timeoutMs: 20_000 });

test('a hostile box makes no page, script or cookie of the relay’s origin, and breaks nothing', async (t) => {
  const { relayNamed, boxServing, key, letIn, ca } = await rig(t);
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
    `hearth_box_session=abc; HttpOnly; Secure; SameSite=Strict; Path=/my/${box.id}/; Max-Age=5`,
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
  // Content of boxes without a certificate goes by the relay's own name over TLS too.
  assert.equal((await visitor.ask('GET', `/b/${box.id}/c/x`)).text, 'content');
});

test('boxes that answer garbage, nothing, or break off: an error of the relay’s, and the next call is served', async (t) => {
  const { relayNamed, boxServing, key, letIn, ca } = await rig(t);
  const { relay, base } = await relayNamed('relay.localhost');
  for (const [name, say, status] of [
    ['garbage', (connection: Duplex) => connection.end('\0\0 what?\r\n\r\n'), 503],
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
  const { relayNamed, boxServing, key, letIn, ca } = await rig(t);
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
  assert.equal((await visitor.ask('POST', `/my/${box.id}/api/x`, { long: 'x'.repeat(100_000) })).status, 503);
  assert.deepEqual(
    asked.filter((url) => url !== '/api/x'),
    [],
  );
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

test('a box at another relay: its reader is sent there', async (t) => {
  const { relayNamed, boxServing, key, letIn, ca, database } = await rig(t);
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
});
