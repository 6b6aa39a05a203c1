import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { test } from 'node:test';
import { mint, pipeline, readAll, serve, target } from './serve-fixture.ts';

const small = randomBytes(5_000);

/**
 * Requests that two programs may read differently, each followed by one that must not be answered: what one takes for
 * a body the other would take for it. `U` stands for the address of a held asset.
 */
const REFUSED: [string, string][] = [
  [
    'Content-Length and Transfer-Encoding (RFC 9112 6.1)',
    'GET U HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n',
  ],
  [
    'the same the other way round',
    'GET U HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n0\r\n\r\n',
  ],
  [
    'two lengths that differ (6.3)',
    'GET U HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nContent-Length: 5\r\n\r\nabcd',
  ],
  [
    'two lengths that agree',
    'GET U HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nContent-Length: 4\r\n\r\nabcd',
  ],
  ['a list of lengths', 'GET U HTTP/1.1\r\nHost: a\r\nContent-Length: 4, 4\r\n\r\nabcd'],
  ['a length with a sign', 'GET U HTTP/1.1\r\nHost: a\r\nContent-Length: +4\r\n\r\nabcd'],
  ['a length that is none', 'GET U HTTP/1.1\r\nHost: a\r\nContent-Length: 0x4\r\n\r\nabcd'],
  ['an unknown coding', 'GET U HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n'],
  [
    'a coding with a vertical tab',
    'GET U HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n',
  ],
  [
    'chunked that is not last',
    'GET U HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n',
  ],
  ['chunked in HTTP/1.0', 'GET U HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n'],
  ['bare LF (2.2)', 'GET U HTTP/1.1\nHost: a\n\n'],
  ['bare LF after a field', 'GET U HTTP/1.1\r\nHost: a\nContent-Length: 4\r\n\r\n'],
  ['bare CR in a field', 'GET U HTTP/1.1\r\nHost: a\rContent-Length: 4\r\n\r\n'],
  ['a folded line (5.2)', 'GET U HTTP/1.1\r\nHost: a\r\nX: b\r\n c\r\n\r\n'],
  ['a space before the first field (2.2)', 'GET U HTTP/1.1\r\n Host: a\r\n\r\n'],
  ['a space before the colon (5.1)', 'GET U HTTP/1.1\r\nHost: a\r\nContent-Length : 4\r\n\r\n'],
  ['a tab before the colon', 'GET U HTTP/1.1\r\nHost: a\r\nTransfer-Encoding\t: chunked\r\n\r\n'],
  ['a name that is none', 'GET U HTTP/1.1\r\nHost: a\r\nX(y): b\r\n\r\n'],
  ['a line without a colon', 'GET U HTTP/1.1\r\nHost: a\r\nContent-Length\r\n\r\n'],
  ['NUL in a value', 'GET U HTTP/1.1\r\nHost: a\r\nX: b\0c\r\n\r\n'],
  ['no Host (3.2)', 'GET U HTTP/1.1\r\n\r\n'],
  ['two Hosts', 'GET U HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n'],
  ['a Host that is none', 'GET U HTTP/1.1\r\nHost: a b\r\n\r\n'],
  ['a target and a Host that differ (3.2.2)', 'GET http://aU HTTP/1.1\r\nHost: b\r\n\r\n'],
  ['a space in the target (3)', 'GET U /x HTTP/1.1\r\nHost: a\r\n\r\n'],
  ['a tab for a space', 'GET\tU HTTP/1.1\r\nHost: a\r\n\r\n'],
  ['HTTP/2 without its preface', 'GET U HTTP/2.0\r\nHost: a\r\n\r\n'],
  ['HTTP/0.9', 'GET U\r\n\r\n'],
  ['a version that is none', 'GET U HTTP/1.11\r\nHost: a\r\n\r\n'],
  ['a method in lower case', 'get U HTTP/1.1\r\nHost: a\r\n\r\n'],
];

test('smuggling: what can be read in two ways is refused, and the connection with it', async (t) => {
  const { port, put } = await serve(t);
  await put(small, '/a');
  const url = target(mint('/'), '/a');
  for (const [name, request] of REFUSED) {
    const hidden = `GET ${url} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n`;
    const answer = await readAll(pipeline(port, request.replace('U', url) + hidden));
    assert.match(answer, /^HTTP\/1\.1 (400|431|501|505) /, name);
    assert.equal(answer.match(/HTTP\/1\.1 \d/g)?.length, 1, `${name}: one answer`);
    assert.match(answer, /connection: close/i, name);
  }
});

test('smuggling: a body that is not read ends the connection, however it is framed', async (t) => {
  const { port, put } = await serve(t);
  await put(small, '/a');
  const url = target(mint('/'), '/a');
  const inner = `GET ${url} HTTP/1.1\r\nHost: x\r\n\r\n`;
  const size = inner.length.toString(16);
  const expecting = 'Expect: 100-continue\r\n';
  for (const [name, framing, body] of [
    ['a length', `Content-Length: ${inner.length}\r\n`, inner],
    ['chunks', 'Transfer-Encoding: chunked\r\n', `${size}\r\n${inner}\r\n0\r\n\r\n`],
    [
      'chunks with an extension over two lines',
      'Transfer-Encoding: chunked\r\n',
      `${size};a\n${inner}\r\n0\r\n\r\n`,
    ],
    ['a length that is waited for', `${expecting}Content-Length: ${inner.length}\r\n`, inner],
  ] as const) {
    const request = `GET ${url} HTTP/1.1\r\nHost: a\r\n${framing}\r\n${body}`;
    const answer = await readAll(pipeline(port, request + inner));
    assert.equal(answer.match(/HTTP\/1\.1 \d/g)?.length, 1, name);
    assert.match(answer, /^HTTP\/1\.1 (200|400) /, name);
    assert.match(answer, /connection: close/i, name);
  }
});

test('smuggling: requests in one packet, or byte by byte, are read the same', async (t) => {
  const { port, put } = await serve(t);
  await put(small, '/a');
  const url = target(mint('/'), '/a');
  const plain = `GET ${url} HTTP/1.1\r\nHost: a\r\n`;
  const requests = `${plain}\r\n\r\n${plain}X: y\r\n\r\n${plain}Connection: close\r\n\r\n`;
  const whole = await readAll(pipeline(port, requests));
  assert.equal(whole.match(/HTTP\/1\.1 200/g)?.length, 3);
  const slow = pipeline(port, '');
  const answer = readAll(slow);
  for (const byte of requests) {
    slow.write(byte, 'latin1');
    await new Promise((resolve) => setImmediate(resolve));
  }
  const withoutTimes = (text: string) => text.replace(/^(date|server-timing): .*\r\n/gim, '');
  assert.equal(withoutTimes(await answer), withoutTimes(whole));
});
