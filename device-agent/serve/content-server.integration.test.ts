import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { truncate } from 'node:fs/promises';
import http from 'node:http';
import net from 'node:net';
import { test } from 'node:test';
import { MIB, testSiteId, until } from '#agent/store/store-fixture.ts';
import { Clock } from '#agent/time/clock.ts';
import { dialProof } from '#protocol/dial-back.ts';
import { ask, boxId, key, mint, pipeline, readAll, serve, sum, target } from './serve-fixture.ts';

const large = randomBytes(2 * MIB + 333);
const small = randomBytes(5_000);

test('serve: the whole object with every header, and HEAD the same without it', async (t) => {
  const { port, put, delivered } = await serve(t);
  const manifest = await put(large, '/video/é a.mp4');
  const token = mint('/video/');
  const url = target(token, manifest.path);
  const got = await ask(port, url);
  assert.equal(got.status, 200);
  assert.ok(got.body.equals(large));
  assert.equal(got.headers['content-type'], 'video/mp4');
  assert.equal(got.headers.etag, `"${manifest.sha256}"`);
  assert.equal(got.headers['last-modified'], manifest.headers.lastModified);
  assert.equal(got.headers['cache-control'], 'public, max-age=60');
  assert.equal(got.headers['accept-ranges'], 'bytes');
  assert.equal(got.headers['content-length'], String(large.length));
  assert.equal(got.headers['access-control-allow-origin'], '*');
  assert.match(String(got.headers['access-control-expose-headers']), /Content-Range/);
  assert.equal(got.headers['timing-allow-origin'], '*');
  assert.equal(got.headers['x-content-type-options'], 'nosniff');
  assert.ok(got.headers.date);
  const head = await ask(port, url, { method: 'HEAD' });
  assert.equal(head.status, 200);
  assert.equal(head.body.length, 0);
  assert.match(String(got.headers['server-timing']), /^cache;desc="hit, disk", read;dur=\d+\.\d$/);
  // What only making the body tells is left out (RFC 9110 section 9.3.2).
  const { date: _d1, 'server-timing': _s1, ...gotRest } = got.headers;
  const { date: _d2, ...headRest } = head.headers;
  assert.deepEqual(headRest, gotRest);
  await until(() => sum(delivered).requests === 1, 'it is counted');
  assert.deepEqual(sum(delivered), { bytes: large.length, requests: 1 });
  assert.equal(delivered[0]?.token, token);
  assert.equal(delivered[0]?.assetId, manifest.assetId);
});

test('serve: ranges, from the file and from memory', async (t) => {
  const { port, put } = await serve(t);
  for (const bytes of [large, small]) {
    const path = `/${bytes.length}`;
    await put(bytes, path);
    const url = target(mint('/'), path);
    for (const [range, start, end] of [
      ['bytes=0-99', 0, 100],
      [`bytes=${bytes.length - 10}-`, bytes.length - 10, bytes.length],
      ['bytes=-1000', bytes.length - 1000, bytes.length],
      ['bytes=4000-999999999', 4000, bytes.length],
    ] as const) {
      const got = await ask(port, url, { headers: { range } });
      assert.equal(got.status, 206, range);
      assert.equal(got.headers['content-range'], `bytes ${start}-${end - 1}/${bytes.length}`);
      assert.ok(got.body.equals(bytes.subarray(start, end)), range);
    }
    const beyond = await ask(port, url, { headers: { range: `bytes=${bytes.length}-` } });
    assert.equal(beyond.status, 416);
    assert.equal(beyond.headers['content-range'], `bytes */${bytes.length}`);
    const head = await ask(port, url, { method: 'HEAD', headers: { range: 'bytes=0-9' } });
    assert.equal(head.status, 200);
    assert.equal(head.headers['content-length'], String(bytes.length));
  }
});

test('serve: conditional requests and If-Range', async (t) => {
  const { port, put, delivered } = await serve(t);
  const manifest = await put(small, '/a');
  const url = target(mint('/a'), '/a');
  const etag = `"${manifest.sha256}"`;
  const fresh = await ask(port, url, { headers: { 'if-none-match': `W/${etag}` } });
  assert.equal(fresh.status, 304);
  assert.equal(fresh.headers.etag, etag);
  assert.equal(fresh.headers['cache-control'], 'public, max-age=60');
  const since = await ask(port, url, {
    headers: { 'if-modified-since': String(manifest.headers.lastModified) },
  });
  assert.equal(since.status, 304);
  assert.equal((await ask(port, url, { headers: { 'if-match': '"x"' } })).status, 412);
  const range = 'bytes=0-9';
  assert.equal((await ask(port, url, { headers: { range, 'if-range': etag } })).status, 206);
  assert.equal((await ask(port, url, { headers: { range, 'if-range': '"x"' } })).status, 200);
  assert.equal((await ask(port, url, { headers: { range, 'if-range': `W/${etag}` } })).status, 200);
  await until(() => sum(delivered).requests === 3, 'three bodies are counted');
  assert.equal(sum(delivered).bytes, 10 + 2 * small.length);
});

test('serve: an empty object', async (t) => {
  const { port, put } = await serve(t);
  await put(Buffer.alloc(0), '/empty');
  const url = target(mint('/'), '/empty');
  const got = await ask(port, url);
  assert.deepEqual([got.status, got.headers['content-length'], got.body.length], [200, '0', 0]);
  assert.equal((await ask(port, url, { headers: { range: 'bytes=0-' } })).status, 416);
});

test('serve: what this box cannot serve goes back to the router, which is told to leave it out', async (t) => {
  const { port, put, store, disk } = await serve(t);
  const manifest = await put(small, '/a b/ü.bin');
  const back = `http://router.test:7081/_site/${testSiteId}/a%20b/%C3%BC.bin?hearth-skip=${boxId}`;
  const cases: [string, string, string][] = [
    ['expired', target(mint('/', { expiresAtMs: Date.now() - 5000 }), manifest.path), back],
    [
      'not held',
      target(mint('/'), '/other'),
      `http://router.test:7081/_site/${testSiteId}/other?hearth-skip=${boxId}`,
    ],
  ];
  for (const [name, url, location] of cases) {
    const got = await ask(port, url);
    assert.equal(got.status, 302, name);
    assert.equal(got.headers.location, location, name);
    assert.equal(got.headers['cache-control'], 'no-store');
    assert.equal(got.headers['access-control-allow-origin'], '*');
  }
  const url = target(mint('/'), manifest.path);
  assert.equal((await ask(port, url)).status, 200);
  await store.demote(manifest.sha256, new Set([0]), 'damaged');
  assert.equal((await ask(port, url)).status, 302);
  const other = await put(small.subarray(1), '/b');
  await store.want(other, Date.now() - 1, Date.now());
  assert.equal((await ask(port, target(mint('/'), '/b'))).status, 302, 'past its TTL');
  assert.ok(disk.readable);
});

test('serve: the bound of a token is kept', async (t) => {
  const { port, put } = await serve(t);
  await put(small, '/a');
  const url = target(mint('/', { maxBytes: small.length + 1 }), '/a');
  assert.equal((await ask(port, url)).status, 200);
  assert.equal((await ask(port, url)).status, 200);
  assert.equal((await ask(port, url)).status, 302);
});

test('serve: forged, foreign and out-of-prefix tokens are 403 with a reason', async (t) => {
  const { port, put } = await serve(t);
  await put(small, '/a/b');
  const flipped = mint('/').replace(/^(.{30})(.)/, (_all, start, c) => start + (c === 'A' ? 'B' : 'A'));
  for (const token of [
    flipped,
    mint('/', { boxId: 'box-aaaaaaaaaaaaaaaa' }),
    mint('/other/'),
    mint('/a/bb'),
    'x',
  ]) {
    const got = await ask(port, target(token, '/a/b'));
    assert.equal(got.status, 403);
    assert.match(got.headers['content-type'] ?? '', /^text\/plain/);
    assert.match(got.body.toString(), /^Refused: /);
  }
});

test('serve: traversal and other methods get no further', async (t) => {
  const { port, put } = await serve(t);
  await put(small, '/a');
  const token = mint('/');
  for (const path of ['/../../etc/passwd', '/%2e%2e/%2e%2e/etc/passwd', '/a%2f..%2fb', '/a%00', '/%']) {
    const raw = net.connect(port, '127.0.0.1');
    raw.end(`GET /c/${token}/${testSiteId}${path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n`);
    let text = '';
    for await (const piece of raw) text += String(piece);
    assert.match(text, /^HTTP\/1\.1 400 /, path);
  }
  assert.equal((await ask(port, '/etc/passwd')).status, 404);
  for (const method of ['POST', 'PUT', 'DELETE', 'PATCH']) {
    const got = await ask(port, target(token, '/a'), { method });
    assert.deepEqual([got.status, got.headers.allow], [405, 'GET, HEAD, OPTIONS'], method);
  }
  const preflight = await ask(port, target(token, '/a'), { method: 'OPTIONS' });
  assert.equal(preflight.status, 204);
  assert.match(String(preflight.headers['access-control-allow-headers']), /Range/);
});

test('serve: the health answer proves with the nonce that it is this box', async (t) => {
  const { port } = await serve(t);
  const got = await ask(port, '/_hearth/health?nonce=abc123');
  assert.equal(got.status, 200);
  const proof = dialProof(key, boxId, 'abc123');
  assert.deepEqual(JSON.parse(got.body.toString()), { boxId, nonce: 'abc123', proof });
  const evil = await ask(port, '/_hearth/health?nonce=%3Cb%3E');
  assert.deepEqual(JSON.parse(evil.body.toString()), { boxId, nonce: null, proof: null });
});

test('serve: a file that ends early cuts the connection; no byte is made up', async (t) => {
  const { port, put, disk, readFailed } = await serve(t);
  const manifest = await put(large, '/a');
  await truncate(disk.layout.object(manifest.sha256), MIB);
  const request = http.get({ host: '127.0.0.1', port, path: target(mint('/'), '/a') });
  const [response] = (await once(request, 'response')) as [http.IncomingMessage];
  const pieces: Buffer[] = [];
  await assert.rejects(async () => {
    for await (const piece of response) pieces.push(piece as Buffer);
  });
  const got = Buffer.concat(pieces);
  assert.ok(got.length <= MIB && got.equals(large.subarray(0, got.length)));
  await until(() => readFailed.includes(manifest.sha256), 'the failure is told');
});

test('serve: only what the kernel took is counted when the client leaves', async (t) => {
  const { port, put, delivered, meter } = await serve(t);
  const huge = randomBytes(48 * MIB);
  await put(huge, '/huge');
  const socket = net.connect(port, '127.0.0.1');
  socket.write(`GET ${target(mint('/'), '/huge')} HTTP/1.1\r\nHost: x\r\n\r\n`);
  await once(socket, 'readable');
  await until(() => meter.bytesTotal > 0, 'it is being sent');
  socket.destroy();
  await until(() => meter.responses === 0 && sum(delivered).requests === 1, 'the response has ended');
  assert.ok(sum(delivered).bytes < huge.length);
});

test('serve: a client that takes nothing is cut', async (t) => {
  const { port, put, meter } = await serve(t, { stalledMs: 300 });
  await put(randomBytes(48 * MIB), '/huge');
  const socket = net.connect(port, '127.0.0.1');
  socket.on('error', () => undefined);
  socket.write(`GET ${target(mint('/'), '/huge')} HTTP/1.1\r\nHost: x\r\n\r\n`);
  await once(socket, 'connect');
  socket.pause();
  await until(() => meter.responses === 1, 'it began');
  await until(() => meter.responses === 0, 'it was cut');
  socket.destroy();
});

test('serve: heads that never end and idle connections are cut; connections are bounded', async (t) => {
  const { port, content } = await serve(t, { headersMs: 300, idleMs: 300, maxConnections: 3 });
  const slow = net.connect(port, '127.0.0.1');
  slow.on('error', () => undefined);
  const slowIsCut = once(slow, 'close');
  slow.write('GET / HTTP/1.1\r\nHost: x\r\n');
  slow.resume();
  const others = [1, 2].map(() =>
    net
      .connect(port, '127.0.0.1')
      .on('error', () => undefined)
      .resume(),
  );
  await until(() => content.connections === 3, 'three are connected');
  const fourth = net.connect(port, '127.0.0.1').on('error', () => undefined);
  fourth.resume();
  await once(fourth, 'close');
  await slowIsCut;
  for (const other of others) other.destroy();
});

test('serve: a body on a GET cannot smuggle a second request', async (t) => {
  const { port, put } = await serve(t);
  await put(small, '/a');
  const path = target(mint('/'), '/a');
  const inner = `GET ${path} HTTP/1.1\r\nHost: x\r\n\r\n`;
  const socket = net.connect(port, '127.0.0.1');
  socket.write(`GET ${path} HTTP/1.1\r\nHost: x\r\nContent-Length: ${inner.length}\r\n\r\n${inner}`);
  const pieces: Buffer[] = [];
  for await (const piece of socket) pieces.push(piece as Buffer);
  const text = Buffer.concat(pieces).toString('latin1');
  assert.equal(text.match(/HTTP\/1\.1 200/g)?.length, 1);
  assert.match(text, /connection: close/i);
});

test('serve: draining ends what runs, and sends new requests back to the router', async (t) => {
  const { port, put, drain, delivered } = await serve(t);
  const huge = randomBytes(48 * MIB);
  await put(huge, '/huge');
  await put(small, '/a');
  const agent = new http.Agent({ keepAlive: true });
  t.after(() => agent.destroy());
  assert.equal((await ask(port, target(mint('/'), '/a'), { agent })).status, 200);
  const running = http.get({ host: '127.0.0.1', port, path: target(mint('/'), '/huge') });
  const [response] = (await once(running, 'response')) as [http.IncomingMessage];
  const drained = drain(20_000);
  const late = await ask(port, target(mint('/'), '/a'), { agent });
  assert.equal(late.status, 302);
  assert.equal(late.headers.connection, 'close');
  const hash = createHash('sha256');
  for await (const piece of response) hash.update(piece as Buffer);
  assert.equal(hash.digest('hex'), createHash('sha256').update(huge).digest('hex'));
  await drained;
  await assert.rejects(ask(port, '/_hearth/health'), { code: 'ECONNREFUSED' });
  assert.equal(sum(delivered).bytes, huge.length + small.length);
});

test('serve: many clients at once each get the right bytes', async (t) => {
  const { port, put, delivered } = await serve(t);
  await put(large, '/a');
  await put(small, '/b');
  const answers = await Promise.all(
    Array.from({ length: 60 }, (_, n) => ask(port, target(mint('/'), n % 2 ? '/a' : '/b'))),
  );
  answers.forEach(({ body }, n) => {
    assert.ok(body.equals(n % 2 ? large : small));
  });
  await until(() => sum(delivered).requests === 60, 'all are counted');
  assert.equal(sum(delivered).bytes, 30 * (large.length + small.length));
});

test('serve: pipelined requests take turns, so that many cost no more than one', async (t) => {
  const { port, put, meter, content } = await serve(t);
  await put(randomBytes(24 * MIB), '/big');
  await put(small, '/a');
  const token = mint('/');
  const get = (path: string, more = '') => `GET ${target(token, path)} HTTP/1.1\r\nHost: x\r\n${more}\r\n`;
  const last = get('/a', 'Connection: close\r\n');
  const answers = await readAll(pipeline(port, get('/a').repeat(150) + get('/none') + last));
  assert.equal(answers.match(/HTTP\/1\.1 200 OK/g)?.length, 151);
  assert.ok(answers.lastIndexOf(' 302 ') > answers.indexOf(' 200 '), 'in order');
  const sockets = Array.from({ length: 8 }, () => pipeline(port, get('/big').repeat(200)));
  await until(() => meter.responses === 8, 'the first of each connection is answered');
  for (const socket of sockets) socket.resetAndDestroy();
  await until(() => meter.responses === 0 && content.connections === 0, 'none is left behind');
  // More than may wait at all: the connection goes, and the server does not.
  const flood = pipeline(port, get('/big') + 'GET /x HTTP/1.1\r\nHost: x\r\n\r\n'.repeat(4000));
  await new Promise((resolve) => flood.once('close', resolve));
  assert.equal((await ask(port, target(token, '/a'))).status, 200);
  await until(() => meter.responses === 0, 'nothing is under way');
});

test('serve: a client that closes its side after asking gets its answer', async (t) => {
  const { port, put } = await serve(t);
  await put(large, '/a');
  const request = `GET ${target(mint('/'), '/a')} HTTP/1.1\r\nHost: x\r\n\r\n`;
  const answer = await readAll(pipeline(port, request, true));
  assert.ok(answer.endsWith(large.toString('latin1')));
});

test('serve: a request may name the whole URL', async (t) => {
  const { port, put } = await serve(t);
  await put(small, '/a');
  const url = `http://127.0.0.1:${port}${target(mint('/'), '/a')}`;
  assert.ok((await ask(port, url)).body.equals(small));
});

test('serve: responses side by side do not use a token many times over', async (t) => {
  const { port, put, delivered, meter } = await serve(t);
  const huge = randomBytes(24 * MIB);
  await put(huge, '/a');
  const url = target(mint('/a', { maxBytes: huge.length }), '/a');
  const open = http.get({ host: '127.0.0.1', port, path: url, agent: false });
  const [first] = (await once(open, 'response')) as [http.IncomingMessage];
  const others = await Promise.all(Array.from({ length: 20 }, () => ask(port, url)));
  assert.ok(others.every(({ status }) => status === 302));
  // What a client breaks off is not used up.
  first.destroy();
  await until(() => meter.responses === 0, 'it has ended');
  const half = await ask(port, url, { headers: { range: `bytes=0-${huge.length / 2 - 1}` } });
  assert.equal(half.status, 206);
  await until(() => sum(delivered).requests === 2, 'both are counted');
  const rush = await Promise.all(Array.from({ length: 20 }, () => ask(port, url)));
  assert.equal(rush.filter(({ status }) => status === 200).length, 1);
  assert.ok(sum(delivered).bytes < 2.5 * huge.length);
});

test('serve: damage that is found while an object is being sent cuts it off', async (t) => {
  const { port, put, store, meter } = await serve(t);
  const huge = randomBytes(24 * MIB);
  const manifest = await put(huge, '/a');
  const request = http.get({ host: '127.0.0.1', port, path: target(mint('/'), '/a'), agent: false });
  const [response] = (await once(request, 'response')) as [http.IncomingMessage];
  response.pause();
  await store.demote(manifest.sha256, new Set([23]), 'found by the check');
  let received = 0;
  await assert.rejects(async () => {
    for await (const piece of response) received += (piece as Buffer).length;
  });
  assert.ok(received < 23 * MIB, `${received} bytes came`);
  await until(() => meter.responses === 0, 'it has ended');
});

test('serve: no Date without a clock, and the fleet’s time while the own one is wrong', async (t) => {
  let localMs = 5_000;
  const clock = new Clock(() => localMs);
  const { port, put } = await serve(t, {}, clock);
  await put(small, '/a');
  const dateOf = async () => (await ask(port, target(mint('/'), '/a'))).headers.date;
  assert.equal(await dateOf(), undefined);
  clock.learn(Date.UTC(2026, 6, 1, 12));
  assert.match((await dateOf()) ?? '', /^Wed, 01 Jul 2026 12:00:\d\d GMT$/);
  localMs = Date.now();
  clock.learn(localMs);
  assert.ok(Math.abs(Date.parse((await dateOf()) ?? '') - Date.now()) < 60_000);
});
