import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import type { TestContext } from 'node:test';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { ObjectFiles } from '#agent/store/object-files.ts';
import { MIB, openStore } from '#agent/store/store-fixture.ts';
import { download } from './download.ts';
import { ORIGIN_DEFAULTS, OriginClient } from './origin.ts';
import type { Handler } from './origin-fixture.ts';
import { OriginFixture, ordinary } from './origin-fixture.ts';
import type { PeerSource } from './source-book.ts';
import { SourceBook } from './source-book.ts';

const CHUNKS = 12;

/** An origin and two other boxes, as far as HTTP goes, which hold the same object. */
async function rig(t: TestContext, lan = true) {
  const bytes = randomBytes(CHUNKS * MIB);
  const sha256 = createHash('sha256').update(bytes).digest('hex');
  const [origin, one, two] = await Promise.all([1, 2, 3].map(() => OriginFixture.start()));
  assert.ok(origin && one && two);
  for (const server of [origin, one, two]) {
    server.files.set('/a', bytes);
    t.after(() => server.close());
  }
  const client = new OriginClient({ ...ORIGIN_DEFAULTS, stallMs: 5_000 });
  t.after(() => client.close());
  const { disk } = await openStore(t);
  const partial = await new ObjectFiles(disk.layout).openPartial(sha256, bytes.length);
  t.after(() => partial.close());
  const hashes = Buffer.concat(
    Array.from({ length: CHUNKS }, (_, n) =>
      createHash('sha256')
        .update(bytes.subarray(n * MIB, (n + 1) * MIB))
        .digest(),
    ),
  );
  const originUrls = [origin.url('/a')];
  const manifest = { sha256, sizeBytes: bytes.length, chunkSizeBytes: MIB, hashes, originUrls };
  const missing = new Set(Array.from({ length: CHUNKS }, (_, n) => n));
  const book = new SourceBook(() => performance.now());
  const peers: PeerSource[] = [
    { boxId: 'one', url: one.url('/a'), lan },
    { boxId: 'two', url: two.url('/a'), lan },
  ];
  const good: number[] = [];
  const run = (signal = new AbortController().signal) =>
    download(
      { manifest, partial, missing },
      { client, peers, book },
      { parallel: 4, backoff: { baseMs: 1, capMs: 5 }, tries: 3, peerStallMs: 3_600_000 },
      signal,
      (index) => good.push(index),
    );
  const assertWhole = async () => {
    assert.deepEqual(
      good.toSorted((a, b) => a - b),
      [...Array(CHUNKS).keys()],
      'each chunk once',
    );
    assert.ok((await readFile(disk.layout.partialObject(sha256))).equals(bytes));
  };
  return { origin, one, two, book, bytes, peers, missing, run, assertWhole };
}

/** So slow that others take most of the work. */
const slowly =
  (ms: number): Handler =>
  (request, response, bytes) =>
    void sleep(ms).then(() => ordinary(request, response, bytes));
const liar: Handler = (request, response, bytes) => {
  const wrong = Buffer.from(bytes);
  for (let at = 0; at < wrong.length; at += 1000) wrong[at] = (wrong[at] ?? 0) ^ 0xff;
  ordinary(request, response, wrong);
};
const staller: Handler = (request, response, bytes) => {
  const [, first, last] = /(\d+)-(\d+)/.exec(request.headers.range ?? '') ?? [];
  response.writeHead(206, { 'content-range': `bytes ${first}-${last}/${bytes.length}` });
  response.write(bytes.subarray(Number(first), Number(first) + 1000));
};

test('sources: origin and boxes are asked at once, and a slow one is given fewer chunks', async (t) => {
  const made = await rig(t);
  made.origin.handler = slowly(10);
  made.one.handler = slowly(60);
  made.two.handler = slowly(600);
  await made.run();
  await made.assertWhole();
  for (const server of [made.origin, made.one, made.two]) assert.ok(server.asked.length > 0);
  assert.ok(made.two.asked.length < made.one.asked.length);
});

test('sources: a small object comes from the box next door alone', async (t) => {
  const made = await rig(t);
  for (const index of [...made.missing]) if (index > 1) made.missing.delete(index);
  await made.run();
  assert.equal(made.origin.asked.length, 0);
});

test('sources: a box that lies is left at once, for other downloads too; nothing of it is kept', async (t) => {
  const made = await rig(t);
  made.one.handler = liar;
  made.two.handler = slowly(50);
  await made.run();
  await made.assertWhole();
  assert.equal(made.one.asked.length, 1);
  assert.equal(made.book.shuns('one'), true);
  assert.deepEqual(
    made.book.choose(made.peers, 4).map((peer) => peer.boxId),
    ['two'],
  );
});

test('sources: what a stalling box holds up is asked elsewhere too, without waiting for it', async (t) => {
  const made = await rig(t);
  made.one.handler = staller;
  // It is not given up itself: waiting for it would not end.
  await made.run();
  await made.assertWhole();
  assert.ok(made.one.asked.length <= 2);
});

test('sources: a box that dies in the middle is done without', async (t) => {
  const made = await rig(t);
  made.origin.handler = slowly(100);
  made.two.handler = slowly(100);
  let served = 0;
  made.one.handler = (request, response, bytes) => {
    if (++served < 3) return ordinary(request, response, bytes);
    void made.one.close();
  };
  await made.run();
  await made.assertWhole();
});

test('sources: with the origin down, or without the asset, boxes are enough', async (t) => {
  for (const broken of ['down', 'gone', 'asks for patience'] as const) {
    const made = await rig(t);
    if (broken === 'down') await made.origin.close();
    if (broken === 'gone') made.origin.files.clear();
    if (broken === 'asks for patience') {
      made.origin.handler = (_request, response) => response.writeHead(503, { 'retry-after': '600' }).end();
    }
    await made.run();
    await made.assertWhole();
    if (broken === 'asks for patience') assert.ok(made.origin.asked.length <= 1);
  }
});

test('sources: with every box bad, the origin is enough', async (t) => {
  const made = await rig(t);
  made.one.handler = (_request, response) => response.writeHead(302, { location: '/elsewhere' }).end();
  made.two.handler = (_request, response) => response.writeHead(429, { 'retry-after': '60' }).end();
  await made.run();
  await made.assertWhole();
  assert.deepEqual(
    made.one.asked.map((ask) => ask.path),
    ['/a'],
    'a box sends nobody elsewhere',
  );
  assert.equal(made.two.asked.length, 1, 'Retry-After is respected');
});

test('sources: with no source left the trouble is told, and what was had stays', async (t) => {
  const made = await rig(t);
  await made.origin.close();
  made.one.handler = liar;
  let served = 0;
  made.two.handler = (request, response, bytes) => {
    if (++served <= 5) ordinary(request, response, bytes);
    else response.writeHead(404).end();
  };
  await assert.rejects(made.run(), { code: 'origin_unreachable' });
  assert.equal(made.missing.size, CHUNKS - 5);
});

test('sources: stopped in the middle, it goes on with what is missing', async (t) => {
  const made = await rig(t);
  for (const server of [made.origin, made.one, made.two]) server.handler = slowly(30);
  const stop = new AbortController();
  const running = made.run(stop.signal);
  while (made.missing.size > CHUNKS / 2) await sleep(5);
  stop.abort();
  await assert.rejects(running, { name: 'AbortError' });
  await made.run();
  await made.assertWhole();
});

test('sources: a box outside is not asked at a private address', async (t) => {
  const made = await rig(t, false);
  await made.run();
  await made.assertWhole();
  assert.equal(made.one.asked.length + made.two.asked.length, 0);
});
