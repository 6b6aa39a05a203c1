import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import http2 from 'node:http2';
import type { TestContext } from 'node:test';
import { test } from 'node:test';
import tls from 'node:tls';
import { MIB, until } from '#agent/store/store-fixture.ts';
import { Clock } from '#agent/time/clock.ts';
import { mint, serve, sum, target } from '../serve-fixture.ts';
import { Certificates } from '../tls/certificates.ts';
import { testCertificate } from '../tls/test-certificate.ts';
import { Patience } from './abuse.ts';

const large = randomBytes(2 * MIB + 333);
const small = randomBytes(5_000);

async function secure(t: TestContext, limits = {}, more = {}) {
  const served = await serve(t, limits, new Clock(), more);
  const certificates = new Certificates();
  const certificate = await testCertificate();
  certificates.set(certificate);
  const port = await served.content.listenSecurely(0, '127.0.0.1', certificates);
  assert.ok(port);
  const connect = (options: http2.SecureClientSessionOptions = {}) => {
    const session = http2.connect(`https://localhost:${port}`, {
      ca: certificate.cert,
      host: '127.0.0.1',
      ...options,
    });
    session.on('error', () => undefined);
    t.after(() => session.destroy());
    return session;
  };
  return { ...served, certificate, tlsPort: port, connect };
}

interface Got {
  headers: http2.IncomingHttpHeaders & http2.IncomingHttpStatusHeader;
  body: Buffer;
}

async function ask(
  session: http2.ClientHttp2Session,
  path: string,
  headers: http2.OutgoingHttpHeaders = {},
): Promise<Got> {
  const stream = session.request({ ':path': path, ...headers });
  stream.end();
  const [answered] = await once(stream, 'response');
  const pieces: Buffer[] = [];
  for await (const piece of stream) pieces.push(piece as Buffer);
  return { headers: answered, body: Buffer.concat(pieces) };
}

test('HTTP/2: many streams on one connection, each decided as over HTTP/1.1', async (t) => {
  const { connect, put, delivered, content } = await secure(t);
  const { sha256 } = await put(large, '/large');
  await put(small, '/small');
  await put(Buffer.alloc(0), '/empty');
  const session = connect();
  const url = (path: string) => target(mint('/'), path);
  const all = await Promise.all(
    Array.from({ length: 60 }, (_, n) => ask(session, url(n % 2 ? '/large' : '/small'))),
  );
  for (const [n, { headers, body }] of all.entries()) {
    assert.equal(headers[':status'], 200);
    assert.ok(body.equals(n % 2 ? large : small));
    assert.equal(headers['content-length'], String(body.length));
    assert.equal(headers.connection, undefined);
  }
  assert.equal(content.connections, 1);
  await until(() => sum(delivered).requests === 60, 'all are counted');
  assert.equal(sum(delivered).bytes, 30 * (large.length + small.length));
  const part = await ask(session, url('/large'), { range: 'bytes=5-99999' });
  assert.deepEqual(
    [part.headers[':status'], part.headers['content-range']],
    [206, `bytes 5-99999/${large.length}`],
  );
  assert.ok(part.body.equals(large.subarray(5, 100_000)));
  const parts = await ask(session, url('/large'), { range: 'bytes=0-9,1000000-1000009' });
  assert.match(String(parts.headers['content-type']), /^multipart\/byteranges/);
  assert.equal(parts.headers['content-length'], String(parts.body.length));
  const fresh = await ask(session, url('/large'), { 'if-none-match': `"${sha256}"` });
  assert.equal(fresh.headers[':status'], 304);
  const head = await ask(session, url('/large'), { ':method': 'HEAD' });
  assert.deepEqual([head.headers['content-length'], head.body.length], [String(large.length), 0]);
  assert.equal((await ask(session, url('/empty'))).headers[':status'], 200);
  const away = await ask(session, url('/none'));
  assert.equal(away.headers[':status'], 302);
  assert.match(String(away.headers.location), /^http:\/\/router\.test:7081\//);
  assert.equal((await ask(session, '/x')).headers[':status'], 404);
  assert.equal((await ask(session, url('/small'), { ':method': 'DELETE' })).headers[':status'], 405);
});

test('HTTP/2: a body that is sent with a request is not read, and harms no other stream', async (t) => {
  const { connect, put } = await secure(t);
  await put(small, '/a');
  const session = connect();
  const stream = session.request({ ':path': target(mint('/'), '/a'), ':method': 'POST' });
  stream.on('error', () => undefined);
  stream.write(Buffer.alloc(MIB));
  const [headers] = await once(stream, 'response');
  assert.equal(headers[':status'], 405);
  stream.resume();
  await new Promise((resolve) => stream.once('close', resolve));
  assert.equal((await ask(session, target(mint('/'), '/a'))).headers[':status'], 200);
});

test('HTTP/2: a stream that takes nothing does not hold up the others, and is cut', async (t) => {
  const { connect, put, meter } = await secure(t, { pieceMs: 600 });
  await put(randomBytes(8 * MIB), '/huge');
  await put(small, '/a');
  const session = connect({ settings: { initialWindowSize: 20_000 } });
  const stuck = session.request({ ':path': target(mint('/'), '/huge') });
  stuck.on('error', () => undefined);
  stuck.pause();
  await once(stuck, 'response');
  for (let n = 0; n < 5; n++) assert.ok((await ask(session, target(mint('/'), '/a'))).body.equals(small));
  await until(() => meter.responses === 0, 'it was cut');
  assert.equal((await ask(session, target(mint('/'), '/a'))).headers[':status'], 200);
});

test('HTTP/2: of many streams at once only so many hold a buffer', async (t) => {
  const { connect, put, meter } = await secure(t);
  await put(randomBytes(8 * MIB), '/huge');
  const session = connect({ settings: { initialWindowSize: 1_000 } });
  for (let n = 0; n < 90; n++) {
    const stream = session.request({ ':path': target(mint('/'), '/huge') });
    stream.on('error', () => undefined);
    stream.pause();
  }
  await until(() => meter.responses === 16, 'sixteen are answered');
  await new Promise((resolve) => setTimeout(resolve, 100));
  assert.equal(meter.responses, 16);
  session.destroy();
  await until(() => meter.responses === 0, 'all have ended');
});

test('HTTP/2: a client that opens streams to break them off is cut off (CVE-2023-44487)', async (t) => {
  const { connect, put, meter, content } = await secure(t);
  await put(large, '/a');
  const session = connect();
  let goaway: number | undefined;
  session.once('goaway', (code: number) => {
    goaway = code;
  });
  const url = target(mint('/'), '/a');
  await once(session, 'connect');
  const floods = setInterval(() => {
    for (let n = 0; n < 50 && !session.destroyed && !session.closed; n++) {
      const stream = session.request({ ':path': url });
      stream.on('error', () => undefined);
      stream.close(http2.constants.NGHTTP2_CANCEL);
    }
  }, 10);
  t.after(() => clearInterval(floods));
  // Node's client goes on for a while with a connection that has been reset.
  await until(() => content.connections === 0, 'it was cut off');
  clearInterval(floods);
  session.destroy();
  // If it has come through at all: ours, and not the library's, which is patient with a thousand.
  assert.ok(goaway === undefined || goaway === http2.constants.NGHTTP2_ENHANCE_YOUR_CALM, String(goaway));
  await until(() => meter.responses === 0 && content.connections === 0, 'nothing is left');
  assert.equal((await ask(connect(), url)).headers[':status'], 200);
});

test('HTTP/2: floods of SETTINGS and PING are cut off', async (t) => {
  const { connect, content } = await secure(t);
  for (const annoy of [
    (session: http2.ClientHttp2Session) => session.ping(() => undefined),
    (session: http2.ClientHttp2Session) => session.settings({ enablePush: false }),
  ]) {
    const session = connect({ maxOutstandingPings: 1e6 });
    const closed = new Promise((resolve) => session.once('close', resolve));
    await once(session, 'connect');
    const floods = setInterval(() => {
      for (let n = 0; n < 50 && !session.destroyed && !session.closed; n++) annoy(session);
    }, 10);
    await closed;
    clearInterval(floods);
    await until(() => content.connections === 0, 'the connection has gone');
  }
});

test('HTTP/2: header lists that are too long or too many fields are refused', async (t) => {
  const { connect, put } = await secure(t);
  await put(small, '/a');
  const url = target(mint('/'), '/a');
  const many = Object.fromEntries(Array.from({ length: 500 }, (_, n) => [`x-${n}`, 'y']));
  for (const headers of [{ 'x-long': 'y'.repeat(60_000) }, many]) {
    const session = connect();
    const stream = session.request({ ':path': url, ...headers });
    let status: unknown = null;
    stream.on('response', (answered) => {
      status = answered[':status'];
    });
    stream.on('error', () => undefined);
    stream.resume();
    await new Promise((resolve) => stream.once('close', resolve));
    assert.notEqual(status, 200);
  }
  assert.equal((await ask(connect(), url)).headers[':status'], 200);
});

test('HTTP/2: draining lets streams end and opens no more', async (t) => {
  const { connect, put, drain } = await secure(t);
  const huge = randomBytes(24 * MIB);
  await put(huge, '/huge');
  const session = connect();
  const stream = session.request({ ':path': target(mint('/'), '/huge') });
  await once(stream, 'response');
  const goaway = once(session, 'goaway');
  const drained = drain(20_000);
  await goaway;
  const pieces: Buffer[] = [];
  for await (const piece of stream) pieces.push(piece as Buffer);
  assert.ok(Buffer.concat(pieces).equals(huge));
  await drained;
});

test('HTTP/2: who is over its share gets 429; a full box sends back to the router', async (t) => {
  const client = { connections: 0, requestsPerSecond: 5, loopback: true };
  const { connect, put } = await secure(t, { client });
  await put(small, '/a');
  const session = connect();
  const all = await Promise.all(Array.from({ length: 60 }, () => ask(session, target(mint('/'), '/a'))));
  const statuses = all.map(({ headers }) => headers[':status']);
  const served = statuses.filter((status) => status === 200).length;
  // Time goes on meanwhile, and gives it a few more.
  assert.ok(served >= 50 && served < 60, `${served} served`);
  assert.equal(statuses.filter((status) => status === 429).length, 60 - served);
});

test('HTTP/2: idle connections and those that never say anything are closed', async (t) => {
  const { connect, certificate, tlsPort, content } = await secure(t, { idleMs: 200 });
  const session = connect();
  await once(session, 'connect');
  await new Promise((resolve) => session.once('close', resolve));
  const mute = tls.connect({ host: '127.0.0.1', port: tlsPort, ca: certificate.cert, ALPNProtocols: ['h2'] });
  mute.on('error', () => undefined);
  await once(mute, 'secureConnect');
  assert.equal(mute.alpnProtocol, 'h2');
  mute.resume();
  await until(() => content.connections === 0, 'it was closed');
});

test('patience: a burst, then a rate', () => {
  const patience = new Patience(3, 10, 0);
  assert.deepEqual(
    [1, 2, 3, 4].map(() => patience.spend(0)),
    [true, true, true, false],
  );
  assert.equal(patience.spend(50), false);
  const later = new Patience(3, 10, 0);
  for (let now = 0; now < 10_000; now += 100) assert.ok(later.spend(now));
});
