import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import type { TestContext } from 'node:test';
import { test } from 'node:test';
import type { StoreFixture } from '#agent/store/store-fixture.ts';
import {
  MIB,
  manifestFor,
  mountTmpfs,
  needsRoot,
  openStore,
  silent,
  until,
} from '#agent/store/store-fixture.ts';
import { Clock } from '#agent/time/clock.ts';
import type { AssetManifest } from '#protocol/asset.ts';
import { Downloads } from './downloads.ts';
import { ORIGIN_DEFAULTS, OriginClient } from './origin.ts';
import type { Handler } from './origin-fixture.ts';
import { OriginFixture, ordinary } from './origin-fixture.ts';

interface Rig extends StoreFixture {
  origin: OriginFixture;
  downloads: Downloads;
  bytes: Buffer;
  manifest: AssetManifest;
  /** Starts the download and waits until it has ended. */
  run: () => Promise<void>;
}

const SIZE = 3 * MIB + 12_345;

async function rig(
  t: TestContext,
  handler: Handler | null = null,
  bytes = randomBytes(SIZE),
  on: { root?: string; floorBytes?: number } = {},
): Promise<Rig> {
  const origin = await OriginFixture.start();
  t.after(() => origin.close());
  origin.files.set('/a.mp4', bytes);
  origin.handler = handler;
  const fixture = await openStore(t, on);
  const client = new OriginClient({ ...ORIGIN_DEFAULTS, stallMs: 300, leastBytesPerSecond: 1000 });
  const downloads = new Downloads({
    store: fixture.store,
    origin: client,
    options: { parallel: 4, backoff: { baseMs: 1, capMs: 5 }, tries: 3 },
    clock: new Clock(),
    log: silent,
    slots: 2,
    retryMs: 60_000,
    onEnd: () => undefined,
  });
  t.after(async () => {
    await downloads.stopAll();
    client.close();
  });
  const manifest = manifestFor(bytes, origin.url('/a.mp4'));
  await fixture.store.want(manifest, null, Date.now());
  const run = async () => {
    await downloads.start(manifest.sha256);
    await until(() => !objectOf(fixture, manifest).downloading, 'the download ended');
  };
  return { ...fixture, origin, downloads, bytes, manifest, run };
}

function objectOf(fixture: StoreFixture, manifest: AssetManifest) {
  const object = fixture.store.catalog.objects.get(manifest.sha256);
  assert.ok(object);
  return object;
}

async function assertHeld(made: Rig): Promise<void> {
  const object = objectOf(made, made.manifest);
  assert.equal(object.failure, null);
  assert.equal(object.state, 'complete');
  assert.equal(object.bytesDone, made.bytes.length);
  const file = await readFile(made.disk.layout.object(made.manifest.sha256));
  assert.ok(file.equals(made.bytes));
}

function assertFailed(made: Rig, code: string): void {
  const object = objectOf(made, made.manifest);
  assert.equal(object.state === 'complete', false);
  assert.equal(object.failure?.code, code, object.failure?.message);
  assert.notEqual(object.failure?.message, '');
}

test('download: chunks by Range, each once', async (t) => {
  const made = await rig(t);
  await made.run();
  await assertHeld(made);
  const ranges = made.origin.asked.map((ask) => ask.range).sort();
  assert.deepEqual(ranges, [
    `bytes=0-${MIB - 1}`,
    `bytes=${MIB}-${2 * MIB - 1}`,
    `bytes=${2 * MIB}-${3 * MIB - 1}`,
    `bytes=${3 * MIB}-${SIZE - 1}`,
  ]);
});

test('download: an empty asset needs no origin', async (t) => {
  const made = await rig(t, null, Buffer.alloc(0));
  await made.run();
  await assertHeld(made);
  assert.equal(made.origin.asked.length, 0);
});

test('download: an origin that ignores Range is read through once', async (t) => {
  const made = await rig(t, (_request, response, bytes) => {
    response.writeHead(200, { 'content-length': bytes.length }).end(bytes);
  });
  await made.run();
  await assertHeld(made);
  assert.equal(made.origin.asked.length, 1);
});

test('download: a whole body of unknown length (chunked) serves too', async (t) => {
  const made = await rig(t, (_request, response, bytes) => {
    response.writeHead(200);
    response.write(bytes.subarray(0, 1000));
    response.end(bytes.subarray(1000));
  });
  await made.run();
  await assertHeld(made);
});

test('download: a redirect is followed', async (t) => {
  const made = await rig(t, (request, response, bytes) => {
    if (request.url === '/a.mp4') response.writeHead(302, { location: '/b.mp4' }).end();
    else ordinary(request, response, bytes);
  });
  made.origin.files.set('/b.mp4', made.bytes);
  await made.run();
  await assertHeld(made);
});

test('download: wrong bytes are never kept, and the good chunks stay', async (t) => {
  let lies = true;
  const made = await rig(t, (request, response, bytes) => {
    const wrong = Buffer.from(bytes);
    if (lies) wrong.fill(0x55, MIB + 5, MIB + 6);
    ordinary(request, response, wrong);
  });
  await made.run();
  assertFailed(made, 'chunk_mismatch');
  assert.equal(objectOf(made, made.manifest).bytesDone, SIZE - MIB);
  lies = false;
  made.origin.asked.length = 0;
  await made.run();
  await assertHeld(made);
  assert.deepEqual(
    made.origin.asked.map((ask) => ask.range),
    [`bytes=${MIB}-${2 * MIB - 1}`],
  );
});

const faults: [string, string, Handler][] = [
  ['a missing asset', 'origin_status', (_request, response) => response.writeHead(404).end()],
  ['an origin in trouble', 'origin_status', (_request, response) => response.writeHead(500).end()],
  [
    'an origin that breaks off',
    'origin_truncated',
    (request, response, bytes) => {
      const [, first, last] = /(\d+)-(\d+)/.exec(request.headers.range ?? '') ?? [];
      response.writeHead(206, {
        'content-range': `bytes ${first}-${last}/${bytes.length}`,
        'content-length': Number(last) - Number(first) + 1,
      });
      response.write(bytes.subarray(0, 1000), () => response.destroy());
    },
  ],
  [
    'a shorter whole than was ingested',
    'origin_changed',
    (_request, response, bytes) => {
      response.writeHead(200, { 'content-length': bytes.length - 1 }).end(bytes.subarray(1));
    },
  ],
  [
    'a whole that ends early without saying its length',
    'origin_truncated',
    (_request, response, bytes) => {
      response.writeHead(200);
      response.write(bytes.subarray(0, 100_000));
      response.end();
    },
  ],
  [
    'a longer whole than was ingested',
    'origin_changed',
    (_request, response, bytes) => {
      response.writeHead(200);
      response.write(bytes);
      response.end('more');
    },
  ],
  [
    'another total size in Content-Range',
    'origin_changed',
    (request, response, bytes) => ordinary(request, response, Buffer.concat([bytes, Buffer.alloc(10)])),
  ],
  [
    'a range that was not asked for',
    'origin_status',
    (_request, response, bytes) => {
      response.writeHead(206, { 'content-range': `bytes 5-9/${bytes.length}` }).end(bytes.subarray(5, 10));
    },
  ],
  ['a 206 without Content-Range', 'origin_status', (_request, response) => response.writeHead(206).end('x')],
  [
    'an unsatisfiable range, since the asset shrank',
    'origin_changed',
    (_request, response) => response.writeHead(416).end(),
  ],
  [
    'a compressed answer',
    'origin_status',
    (_request, response) => response.writeHead(200, { 'content-encoding': 'br' }).end('x'),
  ],
  [
    'an origin that stalls',
    'origin_unreachable',
    (_request, response) => void response.writeHead(200).flushHeaders(),
  ],
  [
    'redirects without end',
    'origin_status',
    (_request, response) => response.writeHead(302, { location: '/a.mp4' }).end(),
  ],
  [
    'a redirect out of HTTP',
    'origin_status',
    (_request, response) => response.writeHead(302, { location: 'file:///etc/passwd' }).end(),
  ],
];
for (const [name, code, handler] of faults) {
  test(`download: ${name} is ${code}, and made good later`, async (t) => {
    const made = await rig(t, handler);
    await made.run();
    assertFailed(made, code);
    made.origin.handler = null;
    await made.run();
    await assertHeld(made);
  });
}

test('download: an origin that is down is origin_unreachable, and made good later', async (t) => {
  const made = await rig(t);
  await made.origin.close();
  await made.run();
  assertFailed(made, 'origin_unreachable');
  await made.origin.up();
  await made.run();
  await assertHeld(made);
});

test('download: Retry-After is respected', async (t) => {
  const made = await rig(t, (_request, response) => response.writeHead(429, { 'retry-after': '120' }).end());
  await made.run();
  assertFailed(made, 'origin_status');
  assert.equal(made.origin.asked.length, 1);
  const retryAtMs = objectOf(made, made.manifest).failure?.retryAtMs ?? 0;
  assert.ok(retryAtMs - performance.now() > 115_000);
});

test('download: stopped in the middle it resumes with what is missing', async (t) => {
  let served = 0;
  const made = await rig(t, (request, response, bytes) => {
    // The first two chunks come; the rest hangs.
    const [, first, last] = /(\d+)-(\d+)/.exec(request.headers.range ?? '') ?? [];
    const range = { 'content-range': `bytes ${first}-${last}/${bytes.length}` };
    if (++served > 2) response.writeHead(206, range).flushHeaders();
    else ordinary(request, response, bytes);
  });
  await made.downloads.start(made.manifest.sha256);
  await until(() => objectOf(made, made.manifest).bytesDone >= 2 * MIB, 'two chunks');
  await made.downloads.stop(made.manifest.sha256);
  assert.equal(objectOf(made, made.manifest).failure, null);
  made.origin.handler = null;
  made.origin.asked.length = 0;
  await made.run();
  await assertHeld(made);
  assert.equal(made.origin.asked.length, 2);
});

test('download: two together leave the owner of the disk what is his', needsRoot, async (t) => {
  const root = await mountTmpfs(t, 48 * MIB);
  const made = await rig(t, null, randomBytes(20 * MIB), { root, floorBytes: 16 * MIB });
  const other = randomBytes(20 * MIB);
  made.origin.files.set('/b', other);
  const second = manifestFor(other, made.origin.url('/b'), { path: '/b' });
  await made.store.want(second, null, Date.now());
  let release: () => void = () => undefined;
  const held = new Promise<void>((resolve) => {
    release = resolve;
  });
  made.origin.handler = (request, response, bytes) =>
    void held.then(() => ordinary(request, response, bytes));
  await made.downloads.start(made.manifest.sha256);
  await until(() => made.origin.asked.length > 0, 'the first has begun');
  await made.downloads.start(second.sha256);
  await until(() => objectOf(made, second).failure !== null, 'the second finds no room');
  assert.equal(objectOf(made, second).failure?.code, 'disk_full');
  release();
  await until(() => objectOf(made, made.manifest).state === 'complete', 'the first is held');
});

test('download: a chunk that went bad on the disk while stopped is fetched again', async (t) => {
  const made = await rig(t);
  const object = await made.store.manifestOf(made.manifest.sha256);
  assert.ok(object);
  const { partial } = await made.store.openPartial(object, new AbortController().signal);
  await partial.write(made.bytes.subarray(0, MIB), 0);
  await partial.keep(0);
  // Claimed by the journal, but never written.
  await partial.keep(1);
  await partial.close();
  await made.run();
  await assertHeld(made);
  assert.equal(made.origin.asked.length, 3);
  assert.ok(!made.origin.asked.some((ask) => ask.range === `bytes=0-${MIB - 1}`));
});
