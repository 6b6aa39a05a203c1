import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import http from 'node:http';
import { test } from 'node:test';
import { MIB, until } from '#agent/store/store-fixture.ts';
import type { Answer } from './serve-fixture.ts';
import { ask, mint, serve, sum, target } from './serve-fixture.ts';

const large = randomBytes(2 * MIB + 333);
const small = randomBytes(5_000);

/** Takes a multipart/byteranges body apart as RFC 2046 says, by its boundary and nothing else. */
function partsOf(answer: Answer): { headers: Map<string, string>; bytes: Buffer }[] {
  const boundary = /^multipart\/byteranges; boundary=([\w-]+)$/.exec(
    answer.headers['content-type'] ?? '',
  )?.[1];
  assert.ok(boundary, String(answer.headers['content-type']));
  // The first delimiter has no line before it.
  const text = `\r\n${answer.body.toString('latin1')}`;
  const pieces = text.split(`\r\n--${boundary}`);
  assert.equal(pieces.shift(), '', 'no preamble');
  assert.equal(pieces.pop(), '--\r\n', 'it is closed');
  return pieces.map((piece) => {
    const end = piece.indexOf('\r\n\r\n');
    const lines = piece.slice(2, end).split('\r\n');
    const headers = lines.map((line): [string, string] => {
      const [name = '', value = ''] = line.split(': ');
      return [name.toLowerCase(), value];
    });
    return { headers: new Map(headers), bytes: Buffer.from(piece.slice(end + 4), 'latin1') };
  });
}

test('ranges: several come as multipart/byteranges, from the file and from memory', async (t) => {
  const { port, put, delivered } = await serve(t);
  let sent = 0;
  for (const bytes of [large, small]) {
    const path = `/${bytes.length}`;
    const { sha256 } = await put(bytes, path);
    const range = 'bytes=0-0, 1000-2999, -7, 999999999-';
    const got = await ask(port, target(mint('/'), path), { headers: { range } });
    assert.equal(got.status, 206);
    assert.equal(got.headers['content-range'], undefined);
    assert.equal(got.headers['content-length'], String(got.body.length));
    assert.equal(got.headers.etag, `"${sha256}"`);
    sent += got.body.length;
    const expected = [
      [0, 1],
      [1000, 3000],
      [bytes.length - 7, bytes.length],
    ];
    const parts = partsOf(got);
    assert.equal(parts.length, 3);
    for (const [index, part] of parts.entries()) {
      const [start = 0, end = 0] = expected[index] ?? [];
      assert.equal(part.headers.get('content-range'), `bytes ${start}-${end - 1}/${bytes.length}`);
      assert.equal(part.headers.get('content-type'), 'video/mp4');
      assert.ok(part.bytes.equals(bytes.subarray(start, end)));
    }
  }
  await until(() => sum(delivered).requests === 2, 'both are counted');
  assert.equal(sum(delivered).bytes, sent, 'what stands between the parts is delivered too');
});

test('ranges: parts larger than a buffer, out of order, on a connection that is used again', async (t) => {
  const { port, put } = await serve(t);
  await put(large, '/a');
  const url = target(mint('/'), '/a');
  const range = `bytes=${MIB}-${2 * MIB},0-${MIB - 1000}`;
  const [second, first] = partsOf(await ask(port, url, { headers: { range } }));
  assert.ok(second?.bytes.equals(large.subarray(MIB, 2 * MIB + 1)));
  assert.ok(first?.bytes.equals(large.subarray(0, MIB - 999)));
});

test('ranges: overlapping ones cost no more than the whole, too many get it', async (t) => {
  const { port, put } = await serve(t);
  await put(large, '/a');
  const url = target(mint('/'), '/a');
  const everything = await ask(port, url, { headers: { range: `bytes=${Array(32).fill('0-').join()}` } });
  assert.equal(everything.status, 206);
  assert.equal(everything.headers['content-range'], `bytes 0-${large.length - 1}/${large.length}`);
  assert.ok(everything.body.equals(large));
  const tiny = Array.from({ length: 900 }, (_, n) => `${n * 999}-${n * 999}`).join();
  const many = await ask(port, url, { headers: { range: `bytes=${tiny}` } });
  assert.equal(many.status, 200);
  assert.ok(many.body.equals(large));
});

test('ranges: one that is opened while another runs is served here, and not without end', async (t) => {
  const { port, put, meter } = await serve(t);
  const huge = randomBytes(24 * MIB);
  await put(huge, '/a');
  const url = target(mint('/a', { maxBytes: huge.length }), '/a');
  const running = http.get({ host: '127.0.0.1', port, path: url, agent: false });
  const [first] = (await once(running, 'response')) as [http.IncomingMessage];
  first.pause();
  const seek = http.get({
    host: '127.0.0.1',
    port,
    path: url,
    agent: false,
    headers: { range: 'bytes=9999999-' },
  });
  const [second] = (await once(seek, 'response')) as [http.IncomingMessage];
  assert.equal(second.statusCode, 206);
  second.pause();
  const rest = { range: 'bytes=1-' };
  const third = http.get({ host: '127.0.0.1', port, path: url, agent: false, headers: rest });
  const [last] = (await once(third, 'response')) as [http.IncomingMessage];
  last.pause();
  // Twice what is entitled has been promised.
  assert.equal((await ask(port, url, { headers: { range: 'bytes=0-9' } })).status, 302);
  assert.equal((await ask(port, url)).status, 302);
  for (const request of [running, seek, third]) request.destroy();
  await until(() => meter.responses === 0, 'all have ended');
  // What was sent counts, whatever was promised.
  const whole = await ask(port, url, { headers: { range: 'bytes=0-' } });
  assert.equal(whole.status, 206);
  assert.equal((await ask(port, url, { headers: { range: 'bytes=0-9' } })).status, 302);
});

test('ranges: If-Range and 416 hold for several as for one', async (t) => {
  const { port, put } = await serve(t);
  const { sha256, headers } = await put(small, '/a');
  const url = target(mint('/'), '/a');
  const range = 'bytes=0-1,1000-1001';
  const with206 = { range, 'if-range': `"${sha256}"` };
  assert.equal(partsOf(await ask(port, url, { headers: with206 })).length, 2);
  const byDate = { range, 'if-range': String(headers.lastModified) };
  assert.equal((await ask(port, url, { headers: byDate })).status, 206);
  const changed = await ask(port, url, { headers: { range, 'if-range': '"other"' } });
  assert.deepEqual([changed.status, changed.body.length], [200, small.length]);
  const beyond = await ask(port, url, { headers: { range: 'bytes=5000-,6000-7000' } });
  assert.deepEqual([beyond.status, beyond.headers['content-range']], [416, 'bytes */5000']);
});
