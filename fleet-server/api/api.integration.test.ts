import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import { type AddressInfo, connect } from 'node:net';
import { after, before, test } from 'node:test';
import { z } from 'zod';
import { type FleetFixture, fleetFixture, TOKEN, until } from '#fleet/testing/fleet-fixture.ts';
import { assetSchema, createdTokenSchema, overviewSchema, siteSchema } from '#protocol/http-fleet.ts';

let fleet: FleetFixture;
let origin: Server;
let originUrl: string;
before(async () => {
  fleet = await fleetFixture();
  origin = createServer((request, response) => {
    if (request.url === '/missing') response.writeHead(404).end();
    else
      response
        .writeHead(200, { 'content-type': 'video/mp4' })
        .end(request.method === 'GET' ? randomBytes(10) : undefined);
  }).listen(0, '127.0.0.1');
  await once(origin, 'listening');
  originUrl = `http://127.0.0.1:${(origin.address() as AddressInfo).port}`;
});
after(async () => {
  await fleet?.close();
  origin?.close();
});

const json = { 'content-type': 'application/json' };
const bearer = { authorization: `Bearer ${TOKEN}` };
const items = z.object({ items: z.array(assetSchema) });

test('every route but login, enrolment and what is public needs an operator', async () => {
  const { text } = await fleet.raw('GET', '/docs/json');
  const paths = z
    .object({ paths: z.record(z.string(), z.record(z.string(), z.unknown())) })
    .parse(JSON.parse(text)).paths;
  const open = new Set([
    'POST /api/v1/session',
    'DELETE /api/v1/session',
    'POST /api/v1/enrol',
    // A household measures its line before the box is anybody's.
    'GET /api/v1/uplink-test',
    'POST /api/v1/uplink-test',
    // What is released is signed, not secret; install.sh asks before there is a box.
    'GET /api/v1/updates/metadata/{name}',
    'GET /api/v1/updates/artefacts/{sha256}',
  ]);
  let closed = 0;
  const described = z.object({
    security: z.unknown().optional(),
    responses: z.record(z.string(), z.unknown()),
  });
  for (const [path, methods] of Object.entries(paths)) {
    for (const [name, operation] of Object.entries(methods)) {
      const method = name.toUpperCase();
      const { security, responses } = described.parse(operation);
      assert.equal(security === undefined, open.has(`${method} ${path}`), `security of ${method} ${path}`);
      assert.ok(responses['4XX'] && responses['5XX'], `errors of ${method} ${path}`);
      if (open.has(`${method} ${path}`)) continue;
      for (const headers of [{}, { authorization: 'Bearer wrong' }, { cookie: 'hearth_session=wrong' }]) {
        const answer = await fleet.raw(method, path.replace(/\{\w+\}/g, 'x'), {
          headers: headers as Record<string, string>,
        });
        assert.equal(answer.status, 401, `${method} ${path}`);
      }
      closed++;
    }
  }
  assert.ok(closed >= 20, `${closed} routes`);
});

test('a session needs the password, and for changes a header no other site can send', async () => {
  const login = (password: string) =>
    fleet.raw('POST', '/api/v1/session', {
      headers: json,
      body: JSON.stringify({ username: 'admin', password }),
    });
  assert.equal((await login('wrong')).status, 401);
  const opened = await login('a password for tests');
  assert.equal(opened.status, 200);
  const set = opened.headers.get('set-cookie') ?? '';
  assert.match(set, /HttpOnly/);
  assert.match(set, /SameSite=Strict/);
  const cookie = set.split(';')[0] ?? '';
  assert.equal((await fleet.raw('GET', '/api/v1/session', { headers: { cookie } })).status, 200);
  const claim = (headers: Record<string, string>) =>
    fleet.raw('POST', '/api/v1/claims', { headers: { ...json, cookie, ...headers }, body: '{}' });
  assert.equal((await claim({})).status, 403);
  assert.equal((await claim({ 'x-hearth-csrf': '1' })).status, 201);
  assert.equal((await fleet.raw('DELETE', '/api/v1/session', { headers: { cookie } })).status, 204);
  assert.equal((await fleet.raw('GET', '/api/v1/session', { headers: { cookie } })).status, 401);
});

test('guessing passwords is slowed down', async () => {
  const body = JSON.stringify({ username: 'admin', password: 'guess' });
  const statuses: number[] = [];
  for (let guess = 0; guess < 12; guess++)
    statuses.push((await fleet.raw('POST', '/api/v1/session', { headers: json, body })).status);
  assert.equal(statuses.at(-1), 429);
});

test('an API token works until it is deleted, and is never shown again', async () => {
  const made = await fleet.ask('POST', '/tokens', { name: 'ci' }, createdTokenSchema);
  const headers = { authorization: `Bearer ${made.secret}` };
  const list = await fleet.raw('GET', '/api/v1/tokens', { headers });
  assert.equal(list.status, 200);
  assert.ok(!list.text.includes(made.secret));
  await fleet.ask('DELETE', `/tokens/${made.id}`, undefined, z.null());
  assert.equal((await fleet.raw('GET', '/api/v1/tokens', { headers })).status, 401);
});

test('bad input is refused with the field that is wrong', async () => {
  const post = async (path: string, body: string) => {
    const { status, text } = await fleet.raw('POST', `/api/v1${path}`, {
      headers: { ...json, ...bearer },
      body,
    });
    return `${status} ${text}`;
  };
  assert.match(
    await post('/sites', '{"hostname":"a b","origin":"http://x.test"}'),
    /^400 .*bad_request.*hostname/,
  );
  assert.match(await post('/sites', '{"hostname":"a.test","origin":"http://u:p@x.test"}'), /^400 .*origin/);
  assert.match(await post('/sites', '{'), /^400 .*bad_request/);
  assert.match(await post('/sites', `"${'x'.repeat(2 ** 20)}"`), /^413 .*payload_too_large/);
  assert.match(
    await post('/assets', '{"siteId":"site-0000000000000000","paths":["/../etc/passwd"]}'),
    /^400 .*paths/,
  );
  assert.match(
    await post('/assets', '{"siteId":"site-0000000000000000","paths":["/a"]}'),
    /^404 .*There is no site/,
  );
  assert.match(await post('/assignments', '{"assets":{"assetIds":[]},"boxes":{"count":0}}'), /^400/);
  const { status, text } = await fleet.raw('GET', '/api/v1/boxes/nonsense', { headers: bearer });
  assert.match(`${status} ${text}`, /^400 .*box id/);
});

test('a site is registered once; its assets are read from the origin, and failures explained', async () => {
  const body = { hostname: 'Video.Test', origin: `${originUrl}/` };
  const site = await fleet.ask('POST', '/sites', body, siteSchema);
  assert.equal(site.hostname, 'video.test');
  assert.equal(site.origin, originUrl);
  await assert.rejects(fleet.ask('POST', '/sites', body, siteSchema), /409.*registered already/);
  await fleet.ask(
    'POST',
    '/assets',
    { siteId: site.id, paths: ['/film.mp4', '/missing', '/film.mp4'] },
    items,
  );
  const look = () => fleet.ask('GET', `/assets?siteId=${site.id}`, undefined, items);
  const read = await until('ingested', async () => {
    const found = (await look()).items;
    return (
      found.length === 2 &&
      found.every((asset) => asset.state === 'ready' || asset.state === 'failed') &&
      found
    );
  });
  const film = read.find((asset) => asset.path === '/film.mp4');
  assert.equal(film?.state, 'ready');
  assert.equal(film?.sizeBytes, 10);
  const missing = read.find((asset) => asset.path === '/missing');
  assert.equal(missing?.error?.code, 'origin_status');
  assert.match(missing?.error?.message ?? '', /404/);

  // Nobody holds it: the router sends clients to the origin, and the bytes come from there.
  const routed = await fetch(`${fleet.routerUrl}/_site/${site.id}/film.mp4`, { redirect: 'manual' });
  assert.equal(routed.status, 302);
  assert.equal(routed.headers.get('location'), `${originUrl}/film.mp4`);
  assert.equal(routed.headers.get('cache-control'), 'no-store');
  const overview = () => fleet.ask('GET', '/overview', undefined, overviewSchema);
  await until('the redirect is counted', async () => (await overview()).redirects.toOrigin > 0);
});

test('the router sends to the origin what no box holds, however it is asked', async () => {
  const origin = 'http://Origin.test/b\u00e4se/\u20ac/';
  await fleet.ask('POST', '/sites', { hostname: 'forms.test', origin }, siteSchema);
  const port = Number(new URL(fleet.routerUrl).port);
  const ask = async (target: string, host: string): Promise<string> => {
    const socket = connect(port, '127.0.0.1');
    socket.write(`GET ${target} HTTP/1.1\r\nHost: ${host}\r\nConnection: close\r\n\r\n`);
    let answer = '';
    for await (const part of socket) answer += part;
    return /^location: (.*)\r$/im.exec(answer)?.[1] ?? answer;
  };
  const there = 'http://origin.test/b%C3%A4se/%E2%82%AC/a';
  await until('known to the router', async () => (await ask('/a', 'forms.test')) === there);
  for (const host of ['FORMS.test', 'forms.test.', 'forms.test:81', 'forms.test:'])
    assert.equal(await ask('/a', host), there, host);
  assert.equal(await ask('http://forms.test/a', 'other.test'), there);
  const skip = 'hearth-skip=box-0000000000000000';
  assert.equal(await ask(`/a?x=1&${skip}&y=%20`, 'forms.test'), `${there}?x=1&y=%20`);
  assert.equal(await ask(`/a?${skip}`, 'forms.test'), there);
  for (const bad of ['http://a.test/?', 'http://a.test/x#', 'http://a.test/?q'])
    await assert.rejects(
      fleet.ask('POST', '/sites', { hostname: 'bad.test', origin: bad }, siteSchema),
      /origin/,
    );
});

test('the router refuses what it cannot route, and goes nowhere else', async () => {
  const route = async (path: string, method = 'GET') => {
    const response = await fetch(fleet.routerUrl + path, { redirect: 'manual', method });
    await response.text();
    return response.status;
  };
  assert.equal(await route('/anything'), 404);
  assert.equal(await route('/_site/site-0000000000000000/a'), 404);
  assert.equal(await route('/a', 'POST'), 405);
  assert.equal(await route('/a', 'OPTIONS'), 204);
  const [site] = (await fleet.ask('GET', '/sites', undefined, z.object({ items: z.array(siteSchema) })))
    .items;
  for (const path of ['/..%2f..%2fetc', '/%00', '/a%5cb', '/a//b', '/%2e%2e/x', '//', '/a//']) {
    assert.equal(await route(`/_site/${site?.id}${path}`), 404, path);
  }
  assert.equal(await route(`/_site/${site?.id}/%zz`), 400);
  // No asset ends with a slash; the origin knows what its folders show.
  for (const folder of ['/', '/docs/']) {
    const response = await fetch(`${fleet.routerUrl}/_site/${site?.id}${folder}`, { redirect: 'manual' });
    assert.equal(response.headers.get('location'), `${site?.origin}${folder}`);
  }
});

test('an asset is added with the job that reads it, or not at all', async () => {
  const body = { hostname: 'whole.test', origin: originUrl };
  const site = await fleet.ask('POST', '/sites', body, siteSchema);
  const post = () => fleet.ask('POST', '/assets', { siteId: site.id, paths: ['/whole'] }, items);
  await fleet.database.query('ALTER TABLE pgboss.job_common RENAME TO job_away');
  await assert.rejects(post(), /500|503/);
  await fleet.database.query('ALTER TABLE pgboss.job_away RENAME TO job_common');
  const look = async () => (await fleet.ask('GET', `/assets?siteId=${site.id}`, undefined, items)).items;
  assert.deepEqual(await look(), []);
  await post();
  await until('ingested', async () => (await look())[0]?.state === 'ready');
});

test('lists come in pages, by path, none left out and none twice', async () => {
  const site = await fleet.ask('POST', '/sites', { hostname: 'pages.test', origin: originUrl }, siteSchema);
  const paths = ['/c', '/a', '/e', '/b', '/d'];
  await fleet.ask('POST', '/assets', { siteId: site.id, paths }, items);
  const page = items.extend({ next: z.string().nullable() });
  const seen: string[] = [];
  for (let after: string | null = ''; after !== null; ) {
    const cursor: string = after === '' ? '' : `&after=${after}`;
    const got: z.infer<typeof page> = await fleet.ask(
      'GET',
      `/assets?siteId=${site.id}&limit=2${cursor}`,
      undefined,
      page,
    );
    assert.ok(got.items.length <= 2);
    seen.push(...got.items.map((asset) => asset.path));
    after = got.next;
  }
  assert.deepEqual(seen, paths.toSorted());
});

test('the API describes itself, and answers unknown paths in its own form', async () => {
  assert.equal((await fleet.raw('GET', '/docs/')).status, 200);
  const { status, text } = await fleet.raw('GET', '/api/v1/nothing', { headers: bearer });
  assert.equal(status, 404);
  assert.equal(JSON.parse(text).error.code, 'not_found');
  const broken = await fleet.raw('GET', '/api/v1/assets/%ff', { headers: bearer });
  assert.equal(broken.status, 400);
  assert.equal(JSON.parse(broken.text).error.code, 'bad_request');
});

test('text that cannot be stored is the caller’s fault, and he is told so', async () => {
  const body = JSON.stringify({ claimCode: '0000-0000-0000', csr: '', agentVersion: '\0' });
  const asked = [
    await fleet.raw('POST', '/api/v1/enrol', { headers: json, body }),
    await fleet.raw('GET', '/api/v1/boxes?after=%00', { headers: bearer }),
    await fleet.raw('GET', '/api/v1/ledger/transfers?accountId=%00', { headers: bearer }),
  ];
  for (const { status, text } of asked) {
    assert.equal(status, 400, text);
    assert.match(text, /bad_request/);
  }
});
