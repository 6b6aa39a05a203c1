import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import net from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import fc from 'fast-check';
import { MIB, until } from '#agent/store/store-fixture.ts';
import { mint, pipeline, readAll, sum, target } from '../serve-fixture.ts';
import { over, steady } from './lane-fixture.ts';

const large = randomBytes(2 * MIB + 333);
const small = randomBytes(5_000);

/** The head in one packet, as the fast lane wants it. */
const inOne = async (port: number, request: string) => steady(await readAll(pipeline(port, request, true)));

/** Its first byte alone: the connection is node:http's from then on. */
async function inTwo(port: number, request: string): Promise<string> {
  const socket = net.connect({ port, host: '127.0.0.1', allowHalfOpen: true, noDelay: true });
  socket.on('error', () => undefined);
  await once(socket, 'connect');
  socket.write(request.slice(0, 1), 'latin1');
  await sleep(15);
  socket.end(request.slice(1), 'latin1');
  return steady(await readAll(socket));
}

over('says what node:http’s lane says, byte for byte', async (t, serve) => {
  const { port, put, delivered, meter } = await serve(t);
  await put(large, '/large.mp4');
  await put(small, '/é small.html', { contentType: 'text/html', cacheControl: null, lastModified: null });
  await put(Buffer.alloc(0), '/empty');
  const token = mint('/');
  const urls = [
    target(token, '/large.mp4'),
    target(token, '/é small.html'),
    `${target(token, '/large.mp4')}?query=1`,
    target(token, '/empty'),
    target(token, '/nothing'),
    target(mint('/other/'), '/large.mp4'),
    target(mint('/', { expiresAtMs: Date.now() - 5_000 }), '/large.mp4'),
    target(mint('/', { maxBytes: 0 }), '/large.mp4'),
    target(`${token.slice(0, -2)}AA`, '/large.mp4'),
    '/c/',
    '/c/x/y',
    `/c/${token}/site-x/a`,
    `${target(token, '/large.mp4')}%`,
    `${target(token, '/a')}/../large.mp4`,
    `${target(token, '/a')}#large`,
    `/c/${token}/${'x'.repeat(5_000)}`,
  ];
  const fields = [
    '',
    'Range: bytes=0-0\r\n',
    'Range: bytes=100-\r\n',
    'Range: bytes=-7\r\n',
    `Range: bytes=${MIB - 1}-${MIB + 1}\r\n`,
    'Range: bytes=99999999-\r\n',
    'Range: bytes=9-1\r\n',
    'Range: chapters=1-2\r\n',
    'Range: bytes=0-9,20-29\r\n',
    'Accept-Encoding: gzip, br;q=0.9, identity;q=0\r\n',
    'Connection: close\r\n',
    'Connection: keep-alive\r\n',
    'Cookie: a=b; c=d\r\nUser-Agent: x\r\nOrigin: http://y\r\n',
  ];
  let compared = 0;
  for (const url of urls) {
    for (const field of url === urls[0] || url === urls[1] ? fields : fields.slice(0, 2)) {
      const request = `GET ${url} HTTP/1.1\r\nHost: a\r\n${field}\r\n`;
      const counted: { bytes: number; requests: number; asked: number }[] = [];
      const answers: string[] = [];
      for (const way of [inTwo, inOne]) {
        const before = { ...sum(delivered), asked: meter.requestsTotal };
        answers.push(await way(port, request));
        await until(() => meter.responses === 0, 'it has ended');
        const after = sum(delivered);
        counted.push({
          bytes: after.bytes - before.bytes,
          requests: after.requests - before.requests,
          asked: meter.requestsTotal - before.asked,
        });
      }
      assert.ok(answers[0]?.startsWith('HTTP/1.1 '), request);
      assert.equal(answers[1], answers[0], request.slice(0, 300));
      assert.deepEqual(counted[1], counted[0], request.slice(0, 300));
      compared++;
    }
  }
  assert.ok(compared > 40);
});

over('however a request is bent, both lanes answer the same', async (t, serve) => {
  const { port, put } = await serve(t);
  await put(small, '/a');
  const url = target(mint('/'), '/a');
  const head = `GET ${url} HTTP/1.1\r\nHost: a\r\nAccept: */*\r\nRange: bytes=1-5\r\nConnection: keep-alive\r\n\r\n`;
  const piece = fc.constantFrom(
    ...[
      '\r',
      '\n',
      '\r\n',
      ' ',
      '\t',
      ':',
      '\0',
      ',',
      ';',
      '\x0b',
      '\x80',
      'Host: b\r\n',
      'x',
      'HTTP/1.1',
      '/',
    ],
    ...[
      'Content-Length: 3\r\n',
      'Transfer-Encoding: chunked\r\n',
      'Connection: close\r\n',
      '0\r\n\r\n',
      head,
    ],
    ...['Expect: 100-continue\r\n', 'Upgrade: h2c\r\n', 'If-Match: *\r\n', 'range: bytes=0-0\r\n'],
  );
  const bend = fc.record({
    at: fc.oneof(fc.nat(head.length), fc.constantFrom(0, head.length, head.indexOf('Accept'))),
    cut: fc.nat(4),
    put: fc.oneof(piece, fc.constant('')),
  });
  await fc.assert(
    fc.asyncProperty(fc.array(bend, { minLength: 1, maxLength: 3 }), async (bends) => {
      let request = head;
      for (const { at, cut, put: more } of bends)
        request = request.slice(0, at) + more + request.slice(at + cut);
      if (request.length < 2) return;
      const [slow, fast] = await Promise.all([inTwo(port, request), inOne(port, request)]);
      assert.equal(fast, slow);
    }),
    {
      numRuns: 150,
      examples: [[[{ at: head.length, cut: 0, put: head }]], [[{ at: 0, cut: 0, put: '\r\n' }]]],
    },
  );
});
