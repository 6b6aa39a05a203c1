import assert from 'node:assert/strict';
import { test } from 'node:test';
import { RequestHeads } from './request-head.ts';

const read = (head: string) => new RequestHeads().read(Buffer.from(head, 'latin1'));

test('request head: what browsers and players send is taken', () => {
  const head =
    'GET /c/t/s/a%20b.mp4?x=1 HTTP/1.1\r\nHost: box.example:7080\r\nConnection: Keep-Alive\r\n' +
    'User-Agent: Mozilla/5.0 (X11; Linux x86_64)\r\naccept:*/*\r\nAccept-Encoding: gzip, br\r\nRange: bytes=0-99\r\n\r\n';
  const heads = new RequestHeads();
  for (let times = 0; times < 2; times++) {
    const request = heads.read(Buffer.from(head));
    assert.equal(request?.target, '/c/t/s/a%20b.mp4?x=1');
    assert.deepEqual(
      { ...request?.headers },
      {
        host: 'box.example:7080',
        connection: 'Keep-Alive',
        'user-agent': 'Mozilla/5.0 (X11; Linux x86_64)',
        accept: '*/*',
        'accept-encoding': 'gzip, br',
        range: 'bytes=0-99',
      },
    );
  }
  assert.ok(read('GET /c/ HTTP/1.1\r\nHost: [::1]:80\r\n\r\n'));
  assert.equal(read('GET /c/ HTTP/1.1\r\nHost: a\r\nConnection: Close\r\n\r\n')?.isLast, true);
});

test('request head: whatever could be read in two ways is left to node:http', () => {
  const start = 'GET /c/x HTTP/1.1\r\n';
  const host = 'Host: a\r\n';
  for (const head of [
    '',
    'G',
    'GET /c/x HTTP/1.1',
    `${start}\r\n`,
    `${start}${host}`,
    `${start}${host}\r`,
    `${start}${host}\r\nGET`,
    `${start}${host}\r\n${start}${host}\r\n`,
    `\r\n${start}${host}\r\n`,
    `${start}${host}${host}\r\n`,
    `${start}Host: a b\r\n\r\n`,
    `${start}Host:\r\n\r\n`,
    `${start}Host:  a\r\n\r\n`,
    `${start}Host: a \r\n\r\n`,
    `${start}Host:\ta\r\n\r\n`,
    `${start}Host : a\r\n\r\n`,
    `${start} Host: a\r\n\r\n`,
    `${start}${host}Accept: a\r\n b\r\n\r\n`,
    `${start}${host}Accept: a\rb\r\n\r\n`,
    `${start}${host}Accept: a\nb\r\n\r\n`,
    `${start}${host}Accept: a\0b\r\n\r\n`,
    `${start}${host}Accept: \xe9\r\n\r\n`,
    `${start}${host}Accept\r\n\r\n`,
    `${start}${host}: a\r\n\r\n`,
    `${start}${host}Content-Length: 0\r\n\r\n`,
    `${start}${host}Transfer-Encoding: chunked\r\n\r\n`,
    `${start}${host}Expect: 100-continue\r\n\r\n`,
    `${start}${host}Upgrade: h2c\r\n\r\n`,
    `${start}${host}If-None-Match: *\r\n\r\n`,
    `${start}${host}If-Range: "a"\r\nRange: bytes=0-1\r\n\r\n`,
    `${start}${host}Range: bytes=0-1,3-4\r\n\r\n`,
    `${start}${host}Range: bytes=0-1\r\nRange: bytes=3-4\r\n\r\n`,
    `${start}${host}Connection: close, x\r\n\r\n`,
    `${start}${host}Connection: upgrade\r\n\r\n`,
    `${start}${host}Connection: keep-alive, range\r\n\r\n`,
    `${start}${host}X-Unknown: a\r\n\r\n`,
    `GET /c/x HTTP/1.0\r\n${host}\r\n`,
    `GET /c/x HTTP/1.1\n${host}\n`,
    `GET /c/x\r\n${host}\r\n`,
    `GET /c/x y HTTP/1.1\r\n${host}\r\n`,
    `GET  /c/x HTTP/1.1\r\n${host}\r\n`,
    `GET /c/x  HTTP/1.1\r\n${host}\r\n`,
    `GET /c/\xe9 HTTP/1.1\r\n${host}\r\n`,
    `GET http://a/c/x HTTP/1.1\r\n${host}\r\n`,
    `GET /_hearth/health HTTP/1.1\r\n${host}\r\n`,
    `HEAD /c/x HTTP/1.1\r\n${host}\r\n`,
    `get /c/x HTTP/1.1\r\n${host}\r\n`,
    `${start}${host}Cookie: ${'a'.repeat(8 * 1024)}\r\n\r\n`,
  ]) {
    assert.equal(read(head), null, JSON.stringify(head.slice(0, 100)));
  }
});

test('request head: however many header blocks come, so many are remembered', () => {
  const heads = new RequestHeads();
  const before = process.memoryUsage().heapUsed;
  for (let n = 0; n < 20_000; n++) {
    const cookie = `${n}`.padEnd(1_500, 'x');
    assert.ok(heads.read(Buffer.from(`GET /c/x HTTP/1.1\r\nHost: a\r\nCookie: ${cookie}\r\n\r\n`)));
  }
  // All of them would be 30 MB and more.
  assert.ok(process.memoryUsage().heapUsed - before < 20e6);
});

test('request head: what came before on a connection changes nothing', () => {
  const heads = new RequestHeads();
  const headOf = (target: string, range: string) =>
    Buffer.from(`GET ${target} HTTP/1.1\r\nHost: a\r\nRange: bytes=${range}\r\n\r\n`);
  const first = heads.read(headOf('/c/t/s/a', '0-9'));
  assert.ok(first);
  assert.equal(heads.read(headOf('/c/t/s/a', '0-9'), undefined, first), first);
  const next = heads.read(headOf('/c/t/s/a', '1-9'), undefined, first);
  assert.equal(next?.target, '/c/t/s/a');
  assert.equal(next?.headers.range, 'bytes=1-9');
  assert.equal(heads.read(headOf('/c/t/s/b', '0-9'), undefined, first)?.target, '/c/t/s/b');
  assert.equal(heads.read(headOf('/c/t/s/\u0001', '0-9'), undefined, first), null);
  const bytes = Buffer.concat([headOf('/c/t/s/a', '0-9'), Buffer.from('GET /c/t/s/b')]);
  assert.equal(heads.read(bytes, undefined, first), null);
  // The buffer it was read from is used again.
  const buffer = headOf('/c/t/s/a', '0-9');
  const kept = heads.read(buffer);
  buffer.write('GET /c/t/s/z');
  assert.equal(kept?.target, '/c/t/s/a');
  assert.equal(heads.read(buffer, undefined, kept)?.target, '/c/t/s/z');
});
