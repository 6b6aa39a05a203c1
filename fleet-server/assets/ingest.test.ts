import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { createServer, type RequestListener } from 'node:http';
import type { AddressInfo } from 'node:net';
import { test } from 'node:test';
import { contentHeadersSchema } from '#protocol/asset.ts';
import { isHearthError } from '#protocol/errors.ts';
import { type IngestOptions, ingest } from './ingest.ts';

const MIB = 1024 * 1024;
const body = randomBytes(2 * MIB + 12345);
const sha256 = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest('hex');

/** Ingests from a real origin that behaves as `listener` says. */
async function ingestFrom(
  listener: RequestListener,
  options: Partial<IngestOptions> = {},
  path = '/film.mp4',
) {
  const server = createServer(listener).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}${path}`;
  try {
    return await ingest(url, path, { signal: new AbortController().signal, ...options });
  } finally {
    server.closeAllConnections();
    server.close();
  }
}
const refused = (code: string, text?: RegExp) => (error: unknown) =>
  isHearthError(error) && error.code === code && (!text || text.test(error.message));

test('one pass gives size, hashes, headers and questions that the bytes answer', async () => {
  let gets = 0;
  const read = await ingestFrom((request, response) => {
    if (request.method === 'GET') gets++;
    response.writeHead(200, {
      'content-length': body.length,
      'content-type': 'video/mp4',
      'cache-control': 'max-age=60',
      'last-modified': 'Sat, 21 Nov 2026 10:00:00 GMT',
    });
    response.end(request.method === 'GET' ? body : undefined);
  });
  assert.equal(gets, 1);
  assert.equal(read.sizeBytes, body.length);
  assert.equal(read.sha256, sha256(body));
  assert.equal(read.chunkSizeBytes, MIB);
  const chunks = [body.subarray(0, MIB), body.subarray(MIB, 2 * MIB), body.subarray(2 * MIB)];
  assert.equal(read.chunkHashes.toString('hex'), chunks.map(sha256).join(''));
  assert.deepEqual(read.headers, {
    contentType: 'video/mp4',
    cacheControl: 'max-age=60',
    lastModified: 'Sat, 21 Nov 2026 10:00:00 GMT',
  });
  assert.equal(read.challenges.length, 3);
  for (const { chunkIndex, nonce, proof } of read.challenges) {
    assert.equal(
      proof,
      sha256(Buffer.concat([Buffer.from(nonce, 'hex'), chunks[chunkIndex] ?? Buffer.alloc(0)])),
    );
  }
});

test('an origin without lengths and types is read all the same; an empty asset has no chunks', async () => {
  const read = await ingestFrom((_request, response) => response.end(body), {}, '/a.m3u8');
  assert.equal(read.sha256, sha256(body));
  assert.equal(read.headers.contentType, 'application/vnd.apple.mpegurl');
  const empty = await ingestFrom((_request, response) =>
    response.writeHead(200, { 'content-length': 0 }).end(),
  );
  assert.deepEqual([empty.sizeBytes, empty.chunkHashes.length, empty.challenges.length], [0, 0, 0]);
});

test('each fault of an origin has its name', async () => {
  await assert.rejects(
    ingest('http://127.0.0.1:1/x', '/x', { signal: new AbortController().signal }),
    refused('origin_unreachable'),
  );
  await assert.rejects(
    ingestFrom((_, response) => response.writeHead(404).end()),
    refused('origin_status', /404/),
  );
  await assert.rejects(
    ingestFrom((_, response) => response.writeHead(206, { 'content-range': 'bytes 0-0/1' }).end('x')),
    refused('origin_status', /206/),
  );
  await assert.rejects(
    ingestFrom((_, response) => response.writeHead(200, { 'content-encoding': 'br' }).end('x')),
    refused('origin_status', /content coding/),
  );
  await assert.rejects(
    ingestFrom((_, response) => {
      response.writeHead(200, { 'content-length': body.length });
      response.write(body.subarray(0, MIB), () => response.destroy());
    }),
    refused('origin_truncated'),
  );
  await assert.rejects(
    ingestFrom((_, response) => void response.writeHead(200, { 'content-length': 100 }).write('x'), {
      stallMs: 200,
    }),
    refused('origin_truncated', /nothing came/),
  );
  await assert.rejects(
    ingestFrom((_, response) => response.writeHead(200, { 'content-length': 2 ** 40 }).end('x')),
    refused('origin_too_large'),
  );
});

test('content that changes while it is read is refused', async () => {
  let version = 0;
  const changing: RequestListener = (_request, response) => {
    version++;
    response.writeHead(200, { 'content-length': 4, etag: `"v${version}"` }).end('abcd');
  };
  await assert.rejects(ingestFrom(changing), refused('origin_changed', /etag/));
  const still: RequestListener = (request, response) =>
    request.method === 'HEAD' ? response.writeHead(405).end() : response.end('abcd');
  assert.equal((await ingestFrom(still)).sizeBytes, 4);
});

test('headers that a box must not repeat are left out', async () => {
  const read = await ingestFrom((_request, response) => {
    const headers = {
      'content-type': 'x'.repeat(500),
      'cache-control': 'y\tz',
      'last-modified': 'some time ago, in the long year of 2026, or so',
    };
    response.writeHead(200, headers).end('a');
  });
  assert.equal(read.headers.contentType, 'video/mp4');
  assert.equal(read.headers.cacheControl, null);
  assert.ok(contentHeadersSchema.safeParse(read.headers).success);
});
