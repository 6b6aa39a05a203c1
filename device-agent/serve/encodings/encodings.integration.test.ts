import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { readdir, readFile, writeFile } from 'node:fs/promises';
import http from 'node:http';
import path from 'node:path';
import { test } from 'node:test';
import zlib from 'node:zlib';
import { until } from '#agent/store/store-fixture.ts';
import type { Answer } from '../serve-fixture.ts';
import { ask, mint, serve, sum, target } from '../serve-fixture.ts';

/** Text that shrinks, and not to nothing. */
const textOf = (lines: number) =>
  Buffer.from(
    Array.from(
      { length: lines },
      (_, n) => `.rule-${n} { color: #${randomBytes(3).toString('hex')}; margin: 0 auto }\n`,
    ).join(''),
  );
const css = textOf(2_000);
const CSS = { contentType: 'text/css; charset=utf-8' };
const decode = { br: zlib.brotliDecompressSync, gzip: zlib.gunzipSync };

async function filesIn(folder: string): Promise<string[]> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true }).catch(() => []);
  return entries
    .filter((entry) => entry.isFile())
    .map((entry) => path.join(entry.parentPath ?? entry.path, entry.name));
}

/** Asks until the variant has been made. */
async function encoded(port: number, url: string, coding: 'br' | 'gzip'): Promise<Answer> {
  let got: Answer | undefined;
  await until(async () => {
    got = await ask(port, url, { headers: { 'accept-encoding': coding } });
    return got.headers['content-encoding'] === coding;
  }, `${coding} is served`);
  assert.ok(got);
  return got;
}

test('encodings: text comes as br or gzip once it has been made, with a tag and a size of its own', async (t) => {
  const { port, put, delivered, content, disk } = await serve(t);
  const { sha256 } = await put(css, '/a.css', CSS);
  const url = target(mint('/'), '/a.css');
  const first = await ask(port, url, { headers: { 'accept-encoding': 'gzip, deflate, br' } });
  assert.equal(first.headers['content-encoding'], undefined, 'nobody waits for it to be made');
  assert.equal(first.headers.vary, 'Accept-Encoding');
  assert.ok(first.body.equals(css));
  const tags = new Set([first.headers.etag]);
  for (const coding of ['br', 'gzip'] as const) {
    const got = await encoded(port, url, coding);
    assert.equal(got.status, 200);
    assert.ok(decode[coding](got.body).equals(css));
    assert.ok(got.body.length < css.length / 2);
    assert.equal(got.headers['content-length'], String(got.body.length));
    assert.equal(got.headers['content-type'], CSS.contentType);
    assert.equal(got.headers.vary, 'Accept-Encoding');
    tags.add(got.headers.etag);
    const head = await ask(port, url, { method: 'HEAD', headers: { 'accept-encoding': coding } });
    assert.deepEqual(
      [head.headers['content-length'], head.headers.etag],
      [String(got.body.length), got.headers.etag],
    );
  }
  assert.equal(tags.size, 3);
  const plain = await ask(port, url);
  assert.deepEqual([plain.headers.etag, plain.headers['content-encoding']], [`"${sha256}"`, undefined]);
  // What was sent is what is counted, and what lies on the disk is what counts as used.
  await until(() => content.connections === 0, 'all have ended');
  delivered.length = 0;
  const last = await encoded(port, url, 'br');
  await until(() => sum(delivered).requests === 1, 'it is counted');
  assert.equal(sum(delivered).bytes, last.body.length);
  let bytes = 0;
  for (const file of await filesIn(disk.layout.encodings)) bytes += (await readFile(file)).length;
  assert.equal(content.encodings.usedBytes, bytes);
});

test('encodings: conditions and ranges are about the representation the client has', async (t) => {
  const { port, put } = await serve(t);
  const { sha256 } = await put(css, '/a.css', CSS);
  const url = target(mint('/'), '/a.css');
  const accept = { 'accept-encoding': 'br' };
  const whole = await encoded(port, url, 'br');
  const etag = String(whole.headers.etag);
  const same = await ask(port, url, { headers: { ...accept, 'if-none-match': etag } });
  assert.deepEqual([same.status, same.headers.etag, same.headers.vary], [304, etag, 'Accept-Encoding']);
  // Who has the plain bytes, and may have them, need not fetch others.
  const plain = await ask(port, url, { headers: { ...accept, 'if-none-match': `"${sha256}"` } });
  assert.deepEqual([plain.status, plain.headers.etag], [304, `"${sha256}"`]);
  // A download begun in br goes on in br.
  const rest = await ask(port, url, { headers: { ...accept, range: 'bytes=100-', 'if-range': etag } });
  assert.deepEqual([rest.status, rest.headers['content-encoding']], [206, 'br']);
  assert.equal(rest.headers['content-range'], `bytes 100-${whole.body.length - 1}/${whole.body.length}`);
  assert.ok(rest.body.equals(whole.body.subarray(100)));
  // Begun plain, plain; without a tag plain too, since nobody knows what it was begun in.
  for (const ifRange of [{ 'if-range': `"${sha256}"` }, {}]) {
    const part = await ask(port, url, { headers: { ...accept, range: 'bytes=100-199', ...ifRange } });
    assert.deepEqual([part.status, part.headers['content-encoding']], [206, undefined]);
    assert.ok(part.body.equals(css.subarray(100, 200)));
  }
  const parts = await ask(port, url, {
    headers: { ...accept, range: 'bytes=0-9,999-1009', 'if-range': etag },
  });
  assert.deepEqual([parts.status, parts.headers['content-encoding']], [206, 'br']);
  assert.ok(parts.body.includes(whole.body.subarray(999, 1010)));
  // Who cannot take br is not given it, whatever tag it names.
  const other = await ask(port, url, { headers: { 'if-none-match': etag } });
  assert.deepEqual([other.status, other.headers['content-encoding']], [200, undefined]);
});

test('encodings: what is compressed already, tiny, or not to be transformed is left alone', async (t) => {
  const { port, put, content } = await serve(t);
  await put(css, '/a.mp4');
  await put(css.subarray(0, 900), '/tiny.css', CSS);
  await put(css.subarray(1), '/kept.css', { ...CSS, cacheControl: 'public, no-transform' });
  for (const name of ['/a.mp4', '/tiny.css', '/kept.css']) {
    for (const _ of [1, 2]) {
      const got = await ask(port, target(mint('/'), name), { headers: { 'accept-encoding': 'br, gzip' } });
      assert.deepEqual([got.headers['content-encoding'], got.headers.vary], [undefined, undefined], name);
      await content.encodings.settled();
    }
  }
  // Text by name that does not shrink: made once, thrown away, not tried again.
  await put(randomBytes(50_000), '/noise.txt', { contentType: 'text/plain' });
  const noise = target(mint('/'), '/noise.txt');
  for (const _ of [1, 2]) {
    const got = await ask(port, noise, { headers: { 'accept-encoding': 'br' } });
    assert.equal(got.headers['content-encoding'], undefined);
    await content.encodings.settled();
  }
  assert.equal(content.encodings.usedBytes, 0);
});

test('encodings: who refuses plain bytes is sent on until there is something for it', async (t) => {
  const { port, put } = await serve(t);
  await put(css, '/a.css', CSS);
  const url = target(mint('/'), '/a.css');
  const none = await ask(port, url, { headers: { 'accept-encoding': 'identity;q=0, *;q=0' } });
  assert.equal(none.status, 302);
  await encoded(port, url, 'gzip');
  const got = await ask(port, url, { headers: { 'accept-encoding': 'gzip, identity;q=0' } });
  assert.deepEqual([got.status, got.headers['content-encoding']], [200, 'gzip']);
  await put(css, '/a.mp4');
  const video = await ask(port, target(mint('/'), '/a.mp4'), {
    headers: { 'accept-encoding': 'identity;q=0' },
  });
  assert.equal(
    video.status,
    200,
    'where nothing is negotiated the wish is disregarded (RFC 9110 section 12.4.1)',
  );
});

test('encodings: a damaged variant is never sent; the object is, and the variant is made anew', async (t) => {
  const { port, put, content, disk, readFailed } = await serve(t, { piecesBytes: 0, openFiles: 0 });
  await put(css, '/a.css', CSS);
  const url = target(mint('/'), '/a.css');
  const good = await encoded(port, url, 'br');
  const [file = ''] = await filesIn(disk.layout.encodings);
  const bytes = await readFile(file);
  bytes[bytes.length >> 1] = (bytes[bytes.length >> 1] ?? 0) ^ 1;
  await writeFile(file, bytes);
  const got = await ask(port, url, { headers: { 'accept-encoding': 'br' } });
  assert.deepEqual([got.status, got.headers['content-encoding']], [200, undefined]);
  assert.ok(got.body.equals(css));
  assert.deepEqual(readFailed, [], 'the object is not to blame');
  await content.encodings.settled();
  const again = await encoded(port, url, 'br');
  assert.ok(again.body.equals(good.body));
});

test('encodings: a variant goes with its object, and at once when it is withdrawn', async (t) => {
  const { port, put, store, content, disk } = await serve(t);
  const kept = await put(css, '/a.css', CSS);
  const url = target(mint('/'), '/a.css');
  await encoded(port, url, 'br');
  await store.demote(kept.sha256, new Set([0]), 'found by the check');
  assert.equal((await ask(port, url, { headers: { 'accept-encoding': 'br' } })).status, 302);
  await content.encodings.settled();
  assert.deepEqual(await filesIn(disk.layout.encodings), []);
  assert.equal(content.encodings.usedBytes, 0);
  const other = await put(css.subarray(1), '/b.css', CSS);
  await encoded(port, target(mint('/'), '/b.css'), 'gzip');
  await store.unwant(other.assetId, 'deleted');
  await store.removeObject(other.sha256);
  await content.encodings.settled();
  assert.deepEqual(await filesIn(disk.layout.encodings), []);
});

test('encodings: a source that is not what it was makes no variant, and is told of', async (t) => {
  const { port, put, disk, content, readFailed } = await serve(t);
  const { sha256 } = await put(css, '/a.css', CSS);
  await writeFile(disk.layout.object(sha256), Buffer.from(css).fill(0x20, 500, 600));
  const url = target(mint('/'), '/a.css');
  await ask(port, url, { headers: { 'accept-encoding': 'br' } });
  await content.encodings.settled();
  assert.deepEqual(readFailed, [sha256]);
  assert.equal(content.encodings.usedBytes, 0);
  assert.deepEqual(await filesIn(disk.layout.encodings), []);
});

test('encodings: after a restart they are taken up; what is half made or nobody’s is removed', async (t) => {
  const { port, put, store, content, disk } = await serve(t);
  const { sha256 } = await put(css, '/a.css', CSS);
  const url = target(mint('/'), '/a.css');
  const before = await encoded(port, url, 'br');
  const folder = path.join(disk.layout.encodings, sha256.slice(0, 2));
  const strangers = [
    path.join(disk.layout.encodings, 'making'),
    // Of an object nobody needs.
    path.join(folder, `${sha256.slice(0, 2)}${'0'.repeat(62)}.br.${'1'.repeat(64)}`),
  ];
  for (const file of strangers) await writeFile(file, 'left by a crash');
  const notOurs = path.join(folder, 'letter.txt');
  await writeFile(notOurs, 'the owner’s');
  // What a disk that was away does.
  content.withdrawAll();
  assert.equal(content.encodings.usedBytes, 0);
  await store.load();
  await content.encodings.settled();
  assert.equal(content.encodings.usedBytes, before.body.length);
  const left = (await filesIn(disk.layout.encodings)).map((file) => path.basename(file)).sort();
  const digest = createHash('sha256').update(before.body).digest('hex');
  assert.deepEqual(left, [`${sha256}.br.${digest}`, 'letter.txt']);
  const after = await ask(port, url, { headers: { 'accept-encoding': 'br' } });
  assert.deepEqual([after.headers['content-encoding'], after.headers.etag], ['br', before.headers.etag]);
});

test('encodings: a wish is dropped at once when its object goes, and nothing is left behind at the end', async (t) => {
  const { port, put, store, content, disk, drain } = await serve(t);
  // Seconds of work at the pace it goes.
  const large = textOf(80_000);
  const manifest = await put(large, '/large.css', CSS);
  const url = target(mint('/'), '/large.css');
  await ask(port, url, { headers: { 'accept-encoding': 'br' } });
  await until(async () => (await filesIn(disk.layout.encodings)).length === 1, 'it is being made');
  await store.demote(manifest.sha256, new Set([0]), 'found by the check');
  await content.encodings.settled();
  assert.deepEqual(await filesIn(disk.layout.encodings), []);
  await put(large.subarray(1), '/other.css', CSS);
  await ask(port, target(mint('/'), '/other.css'), { headers: { 'accept-encoding': 'br' } });
  await until(async () => (await filesIn(disk.layout.encodings)).length === 1, 'another is being made');
  await drain(0);
  assert.deepEqual(await filesIn(disk.layout.encodings), []);
});

test('encodings: a large variant is streamed like any object', async (t) => {
  const { port, put } = await serve(t);
  const large = textOf(30_000);
  await put(large, '/large.css', CSS);
  const url = target(mint('/'), '/large.css');
  const got = await encoded(port, url, 'gzip');
  assert.ok(got.body.length > 128 * 1024, 'not from memory');
  assert.ok(zlib.gunzipSync(got.body).equals(large));
  // By a client of its own, which decodes by itself.
  const request = http.get({ port, host: '127.0.0.1', path: url, headers: { 'accept-encoding': 'gzip' } });
  const [response] = (await once(request, 'response')) as [http.IncomingMessage];
  const pieces: Buffer[] = [];
  for await (const piece of response.pipe(zlib.createGunzip())) pieces.push(piece as Buffer);
  assert.ok(Buffer.concat(pieces).equals(large));
});
