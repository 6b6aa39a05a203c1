import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { open } from 'node:fs/promises';
import type { TestContext } from 'node:test';
import { test } from 'node:test';
import { Clock } from '#agent/time/clock.ts';
import type { AssetManifest } from '#protocol/asset.ts';
import type { IntegrityFinding } from './integrity.ts';
import { IntegrityCheck } from './integrity.ts';
import type { Store } from './store.ts';
import { hold, manifestFor, openStore, silent, until } from './store-fixture.ts';

function scrub(t: TestContext, store: Store, options: { periodMs: number | null; bytesPerSecond?: number }) {
  const found: IntegrityFinding[] = [];
  let rounds = 0;
  const integrity = new IntegrityCheck({
    store,
    clock: new Clock(),
    log: silent,
    options: {
      bytesPerSecond: options.bytesPerSecond ?? 1e9,
      periodMs: options.periodMs,
      busy: () => false,
      onProgress: (findings, finished) => {
        found.push(...findings);
        if (finished) rounds++;
      },
    },
  });
  t.after(() => integrity.close());
  return { integrity, found, rounds: () => rounds };
}

async function put(store: Store, name: string): Promise<{ bytes: Buffer; manifest: AssetManifest }> {
  const bytes = randomBytes(10_000);
  const manifest = manifestFor(bytes, 'http://127.0.0.1/', { path: `/${name}` });
  await hold(store, bytes, manifest);
  return { bytes, manifest };
}

test('scrub: round after round; what spoils between two is found, and counted as repaired once it is whole', async (t) => {
  const { store, disk } = await openStore(t);
  const { manifest, bytes } = await put(store, 'a');
  await put(store, 'b');
  const { integrity, found, rounds } = scrub(t, store, { periodMs: 800 });
  integrity.start();
  await until(() => rounds() === 1, 'the first round ends');
  assert.deepEqual(found, []);
  assert.ok(Date.parse(integrity.progress.nextAt ?? '') > Date.now() - 1000);
  const handle = await open(disk.layout.object(manifest.sha256), 'r+');
  await handle.write(Buffer.from([(bytes[5] ?? 0) ^ 1]), 0, 1, 5);
  await handle.close();
  await until(() => found.length === 1, 'a later round finds it');
  assert.deepEqual(found, [{ sha256: manifest.sha256, chunkIndex: 0 }]);
  assert.equal(store.catalog.objects.get(manifest.sha256)?.state, 'partial');
  assert.equal(integrity.progress.repairedObjects, 0);
  await hold(store, bytes, manifest);
  assert.equal(integrity.progress.repairedObjects, 1);
});

test('scrub: a restart goes on with what was verified longest ago', async (t) => {
  const made = await openStore(t);
  const { objects } = made.store.catalog.tables;
  const hashes: string[] = [];
  for (const name of ['new', 'old', 'older']) hashes.push((await put(made.store, name)).manifest.sha256);
  for (const [n, sha256] of hashes.entries()) objects.setVerifiedAtS(objects.find(sha256), 3_000 - n * 1_000);
  await made.store.close();
  const { store } = await openStore(t, made);
  // Slow enough to be broken off before the last.
  const { integrity } = scrub(t, store, { periodMs: null, bytesPerSecond: 5_000 });
  integrity.start();
  const verifiedAt = (n: number) => store.catalog.objects.get(hashes[n] ?? '')?.verifiedAt ?? '';
  await until(() => integrity.progress.checkedChunks === 1, 'one is read');
  await until(() => verifiedAt(2) > '2020', 'it is verified');
  await integrity.close();
  assert.equal(verifiedAt(0).slice(0, 4), '1970');
});

for (const away of ['for a moment', 'and put back, as was noticed'] as const) {
  test(`scrub: a file that could not be opened while the disk was away ${away} is not lost`, async (t) => {
    const { store, disk } = await openStore(t);
    const { manifest } = await put(store, 'a');
    const { integrity, rounds } = scrub(t, store, { periodMs: null });
    const openComplete = store.openComplete.bind(store);
    let tries = 0;
    store.openComplete = async (sha256) => {
      if (++tries > 1 && away === 'for a moment') return openComplete(sha256);
      if (tries === 1 && away !== 'for a moment') {
        await disk.hold('letting_go', 'a test');
        await disk.resume();
      }
      throw Object.assign(new Error('no such file'), { code: 'ENOENT' });
    };
    integrity.start();
    await until(() => rounds() === 1, 'the round ends');
    assert.equal(store.catalog.objects.get(manifest.sha256)?.state, 'complete');
    assert.ok(tries > 0);
  });
}
