import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { lstat, open, readdir } from 'node:fs/promises';
import path from 'node:path';
import type { TestContext } from 'node:test';
import { test } from 'node:test';
import { Shaper } from '#shaping/shaper.ts';
import { ActivityLog } from './activity/activity.ts';
import { DiskWatch } from './disk-watch.ts';
import { Downloads } from './fetch/downloads.ts';
import { ORIGIN_DEFAULTS, OriginClient } from './fetch/origin.ts';
import { ContentServer } from './serve/content-server.ts';
import { CONTENT_LIMITS } from './serve/limits.ts';
import { ServingMeter } from './serve/meter.ts';
import { TokenGate } from './serve/token-gate.ts';
import { IntegrityCheck } from './store/integrity.ts';
import { hold, manifestFor, openStore, silent, until } from './store/store-fixture.ts';
import { Clock } from './time/clock.ts';

/** What follows a disk in the agent, on a disk whose quota can be changed. */
async function watched(t: TestContext) {
  const quota = { unit: 'bytes' as const, value: 2 ** 40 };
  const { store, disk } = await openStore(t, { more: { bounds: () => ({ floorBytes: 0, quota }) } });
  const clock = new Clock();
  const meter = new ServingMeter(clock);
  const origin = new OriginClient(ORIGIN_DEFAULTS);
  const options = { parallel: 1, backoff: { baseMs: 1, capMs: 5 }, tries: 1 };
  const common = { store, clock, log: silent };
  const downloads = new Downloads({
    ...common,
    origin,
    options,
    slots: 1,
    retryMs: 50,
    onEnd: () => undefined,
  });
  const content = new ContentServer({
    ...common,
    tokens: new TokenGate(),
    meter,
    limits: CONTENT_LIMITS,
    boxId: () => null,
    routerUrl: () => null,
    up: new Shaper(),
    accepting: () => true,
    ageSeconds: () => 0,
    onDelivered: () => undefined,
    onReadFailed: () => undefined,
  });
  const integrity = new IntegrityCheck({
    ...common,
    options: {
      bytesPerSecond: 1e9,
      busy: () => false,
      alongside: (sha256) => content.encodings.recheck(sha256),
      onProgress: () => undefined,
    },
  });
  const watch = new DiskWatch({
    ...common,
    downloads,
    content,
    integrity,
    account: null,
    activity: new ActivityLog(() => clock.stamp()),
    replan: () => undefined,
    sendIndex: () => undefined,
    recall: async () => undefined,
  });
  t.after(async () => {
    await watch.settled();
    await integrity.close();
    await downloads.stopAll();
    await content.drain(0);
    origin.close();
  });
  // It comes while it is followed, as it does in the agent.
  await disk.hold('letting_go', 'a test');
  await disk.resume();
  await watch.settled();
  return { store, disk, content, integrity, quota };
}

async function filesIn(folder: string): Promise<string[]> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true }).catch(() => []);
  return entries.filter((entry) => entry.isFile()).map((entry) => path.join(entry.parentPath, entry.name));
}

/** Holds a text, and compressed copies of it. */
async function withCopies(box: Awaited<ReturnType<typeof watched>>) {
  const { store, disk, content } = box;
  const text = Buffer.from(
    Array.from({ length: 5_000 }, () => `${randomBytes(4).toString('hex')} some text\n`).join(''),
  );
  const manifest = manifestFor(text, 'http://127.0.0.1/', { path: '/text' });
  await hold(store, text, manifest);
  for (const coding of ['br', 'gzip'] as const) content.encodings.want(manifest.sha256, coding);
  await content.encodings.settled();
  const files = await filesIn(disk.layout.encodings);
  assert.equal(files.length, 2);
  let bytes = 0;
  for (const file of files) bytes += (await lstat(file)).size;
  return { text, manifest, files, bytes };
}

test('disk: compressed copies count as used, and go before what was asked for when the quota is short', async (t) => {
  const box = await watched(t);
  const { store, disk, content, quota } = box;
  const { text, manifest, bytes } = await withCopies(box);
  quota.value = text.length + bytes + 1000;
  assert.equal(disk.spareBytes, 1000, 'to the byte');
  quota.value = text.length + bytes - 1;
  await disk.look();
  await until(() => content.encodings.usedBytes === 0, 'they go');
  await until(() => disk.state === 'ok', 'and that is enough');
  assert.deepEqual(await filesIn(disk.layout.encodings), []);
  assert.equal(disk.spareBytes, bytes - 1);
  assert.equal(store.catalog.objects.get(manifest.sha256)?.state, 'complete');
  // With next to no room none is made again, and the quota stays kept.
  content.encodings.want(manifest.sha256, 'br');
  await content.encodings.settled();
  assert.equal(content.encodings.usedBytes, 0);
  quota.value = 2 ** 40;
  content.encodings.want(manifest.sha256, 'br');
  await content.encodings.settled();
  assert.ok(content.encodings.usedBytes > 0, 'with room there is one');
});

test('disk: the check of everything held finds compressed copies that have spoiled, and removes them', async (t) => {
  const box = await watched(t);
  const { content, integrity, disk, store } = box;
  const { manifest, files, bytes } = await withCopies(box);
  integrity.start();
  await until(() => !integrity.progress.running, 'a round ends');
  assert.ok(integrity.progress.checkedChunks > 0);
  assert.equal(content.encodings.usedBytes, bytes, 'what is right stays');
  const [spoiled = '', good = ''] = files;
  const { size } = await lstat(spoiled);
  const handle = await open(spoiled, 'r+');
  await handle.write(Buffer.from('spoiled'), 0, 7, size >> 1);
  await handle.close();
  integrity.start();
  await until(() => content.encodings.usedBytes < bytes, 'it is found');
  await content.encodings.settled();
  assert.deepEqual(await filesIn(disk.layout.encodings), [good]);
  assert.equal(store.catalog.objects.get(manifest.sha256)?.state, 'complete', 'the object is not to blame');
});
