import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { truncate } from 'node:fs/promises';
import net from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import tls from 'node:tls';
import { MIB, until } from '#agent/store/store-fixture.ts';
import { Shaper } from '#shaping/shaper.ts';
import { ask, mint, pipeline, readAll, sum, target } from '../serve-fixture.ts';
import { Certificates } from '../tls/certificates.ts';
import { testCertificate } from '../tls/test-certificate.ts';
import { over, steady } from './lane-fixture.ts';

const large = randomBytes(2 * MIB + 333);
const small = randomBytes(5_000);

over('takes what is plain, and only that', async (t, serve) => {
  const { port, put, content } = await serve(t);
  await put(small, '/a');
  const url = target(mint('/'), '/a');
  for (const [more, isFast] of [
    ['', true],
    ['Range: bytes=0-9\r\n', true],
    ['Accept-Encoding: br\r\n', true],
    ['If-None-Match: "x"\r\n', false],
    ['X-Anything: 1\r\n', false],
  ] as const) {
    const socket = pipeline(port, `GET ${url} HTTP/1.1\r\nHost: a\r\n${more}\r\n`);
    await once(socket, 'data');
    assert.equal(content.fastConnections, isFast ? 1 : 0, more);
    socket.destroy();
    await until(() => content.connections === 0, 'the connection is closed');
    assert.equal(content.fastConnections, 0);
  }
});

over('one connection, many requests, one after the other, in packets and out of them', async (t, serve) => {
  const { port, put, delivered } = await serve(t);
  await put(large, '/large');
  await put(small, '/small');
  const token = mint('/');
  const requests = Array.from(
    { length: 40 },
    (_, n) => `GET ${target(token, n % 3 === 0 ? '/large' : '/small')} HTTP/1.1\r\nHost: a\r\n\r\n`,
  );
  const socket = net.connect({ port, host: '127.0.0.1', allowHalfOpen: true, noDelay: true });
  const answer = readAll(socket);
  for (const request of requests) {
    socket.write(request);
    await sleep(1);
  }
  socket.end();
  const bodies = (await answer).split(/HTTP\/1\.1 200 OK\r\n(?:[^\r]+\r\n)+\r\n/).slice(1);
  assert.equal(bodies.length, requests.length);
  for (const [n, body] of bodies.entries()) {
    assert.ok(Buffer.from(body, 'latin1').equals(n % 3 === 0 ? large : small), `answer ${n}`);
  }
  await until(() => sum(delivered).requests === requests.length, 'each is counted');
  assert.equal(sum(delivered).bytes, 14 * large.length + 26 * small.length);
});

over('a connection that goes over to node:http in its life loses nothing', async (t, serve) => {
  const { port, put, content } = await serve(t);
  await put(large, '/large');
  const url = target(mint('/'), '/large');
  const plain = `GET ${url} HTTP/1.1\r\nHost: a\r\n\r\n`;
  const odd = `GET ${url} HTTP/1.1\r\nHost: a\r\nX-Odd: 1\r\n\r\n`;
  const answer = await readAll(pipeline(port, plain + odd + plain, true));
  assert.equal(answer.split('HTTP/1.1 200 OK').length - 1, 3);
  const socket = net.connect({ port, host: '127.0.0.1', allowHalfOpen: true, noDelay: true });
  const all = readAll(socket);
  // The second comes while the first is being answered.
  for (const request of [plain, odd, plain]) {
    socket.write(request);
    await sleep(1);
  }
  socket.end();
  const bodies = (await all).split(/HTTP\/1\.1 200 OK\r\n(?:[^\r]+\r\n)+\r\n/).slice(1);
  assert.equal(bodies.length, 3);
  for (const body of bodies) assert.ok(Buffer.from(body, 'latin1').equals(large));
  assert.equal(content.fastConnections, 0);
});

over('over TLS too, the same bytes', async (t, serve) => {
  const { content, put } = await serve(t);
  const huge = randomBytes(5 * MIB + 11);
  await put(huge, '/huge');
  const certificates = new Certificates();
  certificates.set(await testCertificate());
  const port = await content.listenSecurely(0, '127.0.0.1', certificates);
  assert.ok(port);
  const url = target(mint('/'), '/huge');
  const answers: Buffer[] = [];
  for (const more of ['', 'X-Odd: 1\r\n']) {
    const socket = tls.connect({
      port,
      host: '127.0.0.1',
      rejectUnauthorized: false,
      ALPNProtocols: ['http/1.1'],
    });
    await once(socket, 'secureConnect');
    socket.write(`GET ${url} HTTP/1.1\r\nHost: a\r\n${more}Connection: close\r\n\r\n`);
    const pieces: Buffer[] = [];
    for await (const piece of socket) {
      if (pieces.length === 0) assert.equal(content.fastConnections, more === '' ? 1 : 0);
      pieces.push(piece as Buffer);
    }
    answers.push(Buffer.concat(pieces));
    await until(() => content.connections === 0, 'the connection is closed');
  }
  const [fast, slow] = answers.map((answer) => steady(answer.toString('latin1')));
  assert.equal(fast, slow);
  assert.ok(answers[0]?.subarray(-huge.length).equals(huge));
});

over('more content than memory, many clients, ranges everywhere: right bytes, bounded', async (t, serve) => {
  const { port, put } = await serve(t, { piecesBytes: MIB });
  const contents = new Map<string, Buffer>();
  for (const [path, size] of [
    ['/1', 3 * MIB + 7],
    ['/2', 2 * MIB],
    ['/3', 200_000],
    ['/4', 100],
  ] as const) {
    contents.set(path, randomBytes(size));
    await put(contents.get(path) ?? small, path);
  }
  const token = mint('/');
  await Promise.all(
    Array.from({ length: 48 }, async (_, n) => {
      const path = `/${(n % 4) + 1}`;
      const bytes = contents.get(path) ?? small;
      const start = Math.floor((bytes.length * (n % 7)) / 8);
      const headers = { Range: `bytes=${start}-` };
      const got = await ask(port, target(token, path), { headers });
      assert.equal(got.status, 206);
      assert.ok(got.body.equals(bytes.subarray(start)), `${path} from ${start}`);
    }),
  );
});

over(
  'an object that cannot be read is answered otherwise before its head, cut after it',
  async (t, serve) => {
    const { port, put, readFailed, disk } = await serve(t);
    const manifest = await put(large, '/large');
    const token = mint('/');
    const url = target(token, '/large');
    assert.equal((await ask(port, url, { headers: { Range: 'bytes=0-9' } })).status, 206);
    await truncate(disk.layout.object(manifest.sha256), MIB);
    const answer = await readAll(pipeline(port, `GET ${url} HTTP/1.1\r\nHost: a\r\n\r\n`, true));
    assert.match(answer, /^HTTP\/1\.1 200 OK/);
    assert.ok(answer.length < large.length);
    await until(() => readFailed.length > 0, 'it is told of');
  },
);

over('idle, silent and stalled connections are closed in their time', async (t, serve) => {
  const { port, put, content } = await serve(t, { idleMs: 300, headersMs: 300, stalledMs: 400 });
  const huge = randomBytes(24 * MIB);
  await put(huge, '/huge');
  await put(small, '/small');
  const silent = net.connect({ port, host: '127.0.0.1' });
  assert.match(await readAll(silent), /^HTTP\/1\.1 408 /);
  const idle = pipeline(port, `GET ${target(mint('/'), '/small')} HTTP/1.1\r\nHost: a\r\n\r\n`);
  assert.match(await readAll(idle), /^HTTP\/1\.1 200 /);
  const stalled = pipeline(port, `GET ${target(mint('/'), '/huge')} HTTP/1.1\r\nHost: a\r\n\r\n`);
  await once(stalled, 'readable');
  await until(() => content.connections === 0, 'who takes nothing is cut');
  stalled.destroy();
});

over(
  'a response that the line holds back is not a stalled client; who leaves gives its share back',
  async (t, serve) => {
    const up = new Shaper();
    up.setRate(400_000);
    const { port, put, content } = await serve(t, { stalledMs: 150 }, undefined, { up });
    await put(randomBytes(300_000), '/a');
    const url = target(mint('/'), '/a');
    const [first, second] = await Promise.all([ask(port, url), ask(port, url)]);
    assert.equal(first.body.length + second.body.length, 600_000);
    const leaving = pipeline(port, `GET ${url} HTTP/1.1\r\nHost: a\r\n\r\n`);
    await once(leaving, 'data');
    leaving.destroy();
    await until(() => content.connections === 0 && up.waiters === 0, 'nothing waits for the line');
  },
);
