import assert from 'node:assert/strict';
import { once } from 'node:events';
import http2 from 'node:http2';
import net from 'node:net';
import type { TestContext } from 'node:test';
import { test } from 'node:test';
import tls from 'node:tls';
import { until } from '#agent/store/store-fixture.ts';
import type { Answered, Asked, World } from './rfc-rules.ts';
import { bytes, RULES, text } from './rfc-rules.ts';
import { ask, mint, serve, target } from './serve-fixture.ts';
import { Certificates } from './tls/certificates.ts';
import { testCertificate } from './tls/test-certificate.ts';

/**
 * What the RFCs ask of an origin server and of a cache that answers from its store, section by section, over each way
 * content is served: HTTP/1.1 plain and over TLS, read from the raw socket, and HTTP/2 with Node's client. There is no
 * conformance suite for servers to be had as a package: http-cache-tests needs a cache that fetches what the suite's
 * own origin says, and h2spec and REDbot are not packaged.
 */

async function world(t: TestContext) {
  const served = await serve(t);
  const { put, content, port } = served;
  const assets = {
    video: await put(bytes, '/video.mp4'),
    text: await put(text, '/text.css', { contentType: 'text/css; charset=utf-8' }),
    page: await put(text.subarray(1), '/page.html', { contentType: 'text/html' }),
    empty: await put(Buffer.alloc(0), '/empty'),
  };
  const token = mint('/');
  const url = (of: NonNullable<Asked['of']>) => {
    if (of === 'nothing') return '/nothing';
    if (of === 'malformed') return `${target(token, '/video.mp4')}%2f..`;
    return target(token, of === 'elsewhere' ? '/elsewhere' : assets[of].path);
  };
  let brTag = '';
  await until(async () => {
    const got = await ask(port, url('text'), { headers: { 'accept-encoding': 'br' } });
    brTag = String(got.headers.etag);
    return got.headers['content-encoding'] === 'br';
  }, 'the text is compressed');
  const certificates = new Certificates();
  const certificate = await testCertificate();
  certificates.set(certificate);
  const tlsPort = await content.listenSecurely(0, '127.0.0.1', certificates);
  assert.ok(tlsPort);
  const known: World = { assets, etag: `"${assets.video.sha256}"`, brTag };
  return { known, url, port, tlsPort, certificate };
}

/** Reads one response as RFC 9112 section 6.3 frames it: no parser of Node's between the wire and the rule. */
async function overSocket(socket: net.Socket, asked: Asked, path: string): Promise<Answered> {
  const { method = 'GET', headers = {} } = asked;
  const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`);
  socket.on('error', () => undefined);
  socket.write(`${method} ${path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n${lines.join('')}\r\n`);
  const pieces: Buffer[] = [];
  for await (const piece of socket) pieces.push(piece as Buffer);
  const whole = Buffer.concat(pieces);
  const end = whole.indexOf('\r\n\r\n');
  assert.ok(end > 0, 'a head');
  const [first = '', ...rest] = whole.toString('latin1', 0, end).split('\r\n');
  const said = /^HTTP\/1\.1 (\d{3}) [\x20-\x7e]*$/.exec(first);
  assert.ok(said, first);
  const got = new Map<string, string>();
  for (const line of rest) {
    const [, name = '', value = ''] = /^([\w-]+): (.*)$/.exec(line) ?? [];
    assert.ok(name !== '' && !got.has(name.toLowerCase()), `each field once: ${line}`);
    got.set(name.toLowerCase(), value);
  }
  const body = whole.subarray(end + 4);
  const hasBody = method !== 'HEAD' && ![204, 304].includes(Number(said[1]));
  if (hasBody && got.has('content-length')) assert.equal(got.get('content-length'), String(body.length));
  else if (hasBody)
    assert.equal(got.get('connection')?.toLowerCase(), 'close', '9112 6.3: framed by its end');
  else assert.equal(body.length, 0, '9112 6.3: no body');
  if (said[1] === '204') assert.equal(got.get('content-length'), undefined, '9110 8.6');
  assert.equal(got.get('transfer-encoding'), undefined);
  return { status: Number(said[1]), headers: got, body };
}

async function overHttp2(session: http2.ClientHttp2Session, asked: Asked, path: string): Promise<Answered> {
  const stream = session.request({ ':path': path, ':method': asked.method ?? 'GET', ...asked.headers });
  stream.end();
  const [headers] = await once(stream, 'response');
  const pieces: Buffer[] = [];
  for await (const piece of stream) pieces.push(piece as Buffer);
  const got = new Map<string, string>();
  for (const [name, value] of Object.entries(headers)) {
    assert.equal(name, name.toLowerCase(), '9113 8.2');
    if (!name.startsWith(':')) got.set(name, String(value));
  }
  for (const name of ['connection', 'keep-alive', 'transfer-encoding', 'upgrade']) {
    assert.equal(got.get(name), undefined, `9113 8.2.2: ${name}`);
  }
  return { status: headers[':status'], headers: got, body: Buffer.concat(pieces) };
}

test('RFC 9110, 9111 and 9112, section by section', async (t) => {
  const { known, url, port, tlsPort, certificate } = await world(t);
  const session = http2.connect(`https://localhost:${tlsPort}`, { ca: certificate.cert, host: '127.0.0.1' });
  t.after(() => session.destroy());
  const ways: [string, (asked: Asked, path: string) => Promise<Answered>][] = [
    ['HTTP/1.1', (asked, path) => overSocket(net.connect(port, '127.0.0.1'), asked, path)],
    [
      'HTTP/1.1 over TLS',
      (asked, path) =>
        overSocket(tls.connect({ host: '127.0.0.1', port: tlsPort, ca: certificate.cert }), asked, path),
    ],
    ['HTTP/2', (asked, path) => overHttp2(session, asked, path)],
  ];
  for (const [way, send] of ways) {
    await t.test(way, async (t) => {
      for (const [section, what, asking, check] of RULES) {
        await t.test(`${section}: ${what}`, async () => {
          const asked = asking(known);
          // The parser of HTTP/1.1 knows no such method, and says so before anybody is asked.
          check(await send(asked, url(asked.of ?? 'video')), known);
        });
      }
    });
  }
});

test('RFC 9112: connections', async (t) => {
  const { url, port } = await world(t);
  const exchange = async (request: string) => {
    const socket = net.connect(port, '127.0.0.1');
    socket.on('error', () => undefined);
    socket.write(request);
    const pieces: Buffer[] = [];
    for await (const piece of socket) pieces.push(piece as Buffer);
    return Buffer.concat(pieces).toString('latin1');
  };
  const path = url('video');
  const cases: [string, string, (answer: string) => void][] = [
    [
      '9112 2.2: an empty line before a request is skipped',
      `\r\nGET ${path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n`,
      (answer) => assert.match(answer, /^HTTP\/1\.1 200 /),
    ],
    [
      '9112 2.3: HTTP/1.0 is answered, and closed',
      `GET ${path} HTTP/1.0\r\n\r\n`,
      (answer) => assert.match(answer, /^HTTP\/1\.1 200 [\s\S]*\r\nConnection: close\r\n/i),
    ],
    [
      '9112 3.2: no Host is 400',
      `GET ${path} HTTP/1.1\r\n\r\n`,
      (answer) => assert.match(answer, /^HTTP\/1\.1 400 /),
    ],
    [
      '9112 3.2.2: the absolute form',
      `GET http://x${path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n`,
      (answer) => assert.match(answer, /^HTTP\/1\.1 200 /),
    ],
    [
      '9112 3.2.4: OPTIONS *',
      'OPTIONS * HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n',
      (answer) => assert.match(answer, /^HTTP\/1\.1 204 /),
    ],
    [
      '9112 9.3: one connection, many requests',
      `GET ${path} HTTP/1.1\r\nHost: x\r\n\r\n`.repeat(3) +
        `HEAD ${path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n`,
      (answer) => assert.equal(answer.match(/HTTP\/1\.1 200 /g)?.length, 4),
    ],
    [
      '9112 9.6: closed when asked to',
      `GET ${path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\nGET ${path} HTTP/1.1\r\nHost: x\r\n\r\n`,
      (answer) => assert.equal(answer.match(/HTTP\/1\.1 200 /g)?.length, 1),
    ],
    [
      '9110 7.8: an upgrade that is not known is ignored',
      `GET ${path} HTTP/1.1\r\nHost: x\r\nConnection: close, Upgrade\r\nUpgrade: h2c\r\n\r\n`,
      (answer) => assert.match(answer, /^HTTP\/1\.1 200 /),
    ],
    [
      '9110 10.1.1: an expectation that is not known is 417 or ignored',
      `GET ${path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nExpect: the-best\r\n\r\n`,
      (answer) => assert.match(answer, /^HTTP\/1\.1 (417|200) /),
    ],
    [
      '9110 9.3.6: no tunnel',
      'CONNECT x:1 HTTP/1.1\r\nHost: x:1\r\n\r\n',
      (answer) => assert.doesNotMatch(answer, /^HTTP\/1\.1 2/),
    ],
  ];
  for (const [name, request, check] of cases) await t.test(name, async () => check(await exchange(request)));
});
