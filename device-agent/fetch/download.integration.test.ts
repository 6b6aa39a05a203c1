import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import type { ServerResponse } from 'node:http';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { ObjectFiles } from '#agent/store/object-files.ts';
import { MIB, openStore } from '#agent/store/store-fixture.ts';
import { download } from './download.ts';
import { ORIGIN_DEFAULTS, OriginClient } from './origin.ts';
import { OriginFixture, ordinary } from './origin-fixture.ts';
import { SourceBook } from './source-book.ts';

test('download: two whole bodies at once do not write one chunk, though only one of them lies', async (t) => {
  const origin = await OriginFixture.start();
  t.after(() => origin.close());
  const client = new OriginClient({ ...ORIGIN_DEFAULTS, stallMs: 5_000, leastBytesPerSecond: 1_000 });
  t.after(() => client.close());
  // As in an asset of more than 4 GiB: chunks larger than what is verified before it is written.
  const chunkSizeBytes = 2 * MIB;
  const bytes = randomBytes(3 * chunkSizeBytes);
  const hashes = Buffer.concat(
    [0, 1, 2].map((n) =>
      createHash('sha256')
        .update(bytes.subarray(n * chunkSizeBytes, (n + 1) * chunkSizeBytes))
        .digest(),
    ),
  );
  const sha256 = createHash('sha256').update(bytes).digest('hex');
  origin.files.set('/a', bytes);
  let honest: ServerResponse | null = null;
  let asked = 0;
  origin.handler = (request, response, all) => {
    asked++;
    // Ranges are honoured at first, so that several connections are made; those get the whole.
    if (asked === 1 || asked > 3) return ordinary(request, response, all);
    response.writeHead(200, { 'content-length': all.length });
    const half = chunkSizeBytes + MIB;
    if (asked === 2) {
      honest = response;
      response.write(all.subarray(0, half));
      return;
    }
    void (async () => {
      await sleep(200);
      response.write(all.subarray(0, chunkSizeBytes));
      response.write(randomBytes(MIB));
      await sleep(200);
      honest?.end(all.subarray(half));
      await sleep(200);
      response.destroy();
    })();
  };
  const { disk } = await openStore(t);
  const partial = await new ObjectFiles(disk.layout).openPartial(sha256, bytes.length);
  t.after(() => partial.close());
  const missing = new Set([0, 1, 2]);
  const manifest = {
    sha256,
    sizeBytes: bytes.length,
    chunkSizeBytes,
    hashes,
    originUrls: [origin.url('/a')],
  };
  const options = { parallel: 2, backoff: { baseMs: 1, capMs: 5 }, tries: 3 };
  await download(
    { manifest, partial, missing },
    { client, peers: [], book: new SourceBook(() => performance.now()) },
    options,
    new AbortController().signal,
    () => undefined,
  );
  assert.ok(asked >= 3, 'both bodies were asked for');
  assert.ok((await readFile(disk.layout.partialObject(sha256))).equals(bytes));
});
