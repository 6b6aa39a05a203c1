import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import type { TestContext } from 'node:test';
import { test } from 'node:test';
import type { DiskKind } from '#agent/disks/disk-fixture.ts';
import { cannotMake, TestDisk } from '#agent/disks/disk-fixture.ts';
import { errnoOf } from '#agent/durable/durable-file.ts';
import type { AssetManifest } from '#protocol/asset.ts';
import type { Store } from './store.ts';
import { hold, MIB, manifestFor, openStore, until } from './store-fixture.ts';

async function plugged(t: TestContext, kind: DiskKind): Promise<{ stick: TestDisk; root: string }> {
  const root = await mkdtemp(path.join(os.tmpdir(), 'hearth-fault-'));
  const stick = new TestDisk(t, kind);
  t.after(() => rm(root, { recursive: true, force: true }));
  stick.plugIn(root);
  return { stick, root };
}

/** Reads an object as a response does, and tells the disk what it met. */
async function readAll(store: Store, { sha256, sizeBytes }: AssetManifest): Promise<string> {
  const file = await store.openComplete(sha256);
  try {
    const { bytesRead } = await file.read(Buffer.alloc(sizeBytes), 0, sizeBytes, 0);
    return String(bytesRead);
  } catch (error) {
    store.disk.failed(error, sha256);
    return errnoOf(error);
  } finally {
    await file.close();
  }
}

test(
  'disk: errors on one object are its own, on several the disk is left alone until it works',
  cannotMake('ext4plain'),
  async (t) => {
    const { stick, root } = await plugged(t, 'ext4plain');
    const { disk, store } = await openStore(t, { root, more: { quarantineMs: 300 } });
    // The part that goes on working is the owner's, so that all of ours lies beyond it.
    await writeFile(path.join(root, 'mine'), randomBytes(6 * MIB));
    const manifests: AssetManifest[] = [];
    for (let index = 0; index < 4; index++) {
      const bytes = randomBytes(MIB);
      const manifest = manifestFor(bytes, 'http://127.0.0.1/', { path: `/${index}` });
      await hold(store, bytes, manifest);
      // What is in memory would be read from there.
      execFileSync('dd', [
        `if=${disk.layout.object(manifest.sha256)}`,
        'iflag=nocache',
        'count=0',
        'status=none',
      ]);
      manifests.push(manifest);
    }
    const [first, second, third, fourth] = manifests;
    assert.ok(first && second && third && fourth);
    stick.resize(4096);
    assert.equal(await readAll(store, first), 'EIO');
    assert.equal(await readAll(store, first), 'EIO');
    await until(() => disk.state === 'failing', 'it is seen to fail');
    assert.equal(disk.reason, 'io_error');
    assert.equal(disk.readable, true, 'one object says nothing of the others');
    assert.equal(await readAll(store, second), 'EIO');
    assert.equal(disk.readable, true);
    const seen: boolean[] = [];
    disk.onChange(() => void seen.push(disk.readable));
    assert.equal(await readAll(store, third), 'EIO');
    await until(() => disk.reason === 'io_errors', 'it is left alone');
    assert.equal(disk.state, 'failing');
    assert.equal(disk.readable, false);
    assert.deepEqual(seen, [false], 'whoever serves from it is told');
    await assert.rejects(store.want(manifestFor(randomBytes(9), 'http://127.0.0.1/'), null, 1), {
      code: 'disk_failing',
    });
    await new Promise((resolve) => setTimeout(resolve, 1000));
    assert.equal(disk.reason, 'io_errors', 'a probe has failed');
    stick.resize(64 * MIB);
    await until(() => disk.state === 'ok', 'it works again').catch((error) => {
      throw new Error(`${disk.state}: ${disk.problem}`, { cause: error });
    });
    assert.equal(disk.readable, true);
    assert.equal(await readAll(store, fourth), String(MIB));
  },
);

test(
  'disk: an object that cannot be read is out of service at once, and keeps what can be',
  cannotMake('ext4plain'),
  async (t) => {
    const { stick, root } = await plugged(t, 'ext4plain');
    const { disk, store } = await openStore(t, { root });
    const bytes = randomBytes(3 * MIB);
    const manifest = manifestFor(bytes, 'http://127.0.0.1/');
    await hold(store, bytes, manifest);
    const file = disk.layout.object(manifest.sha256);
    const extents = execFileSync('filefrag', ['-v', '-b1', file], { encoding: 'utf8' });
    const [, from] = /0:\s+0\.\.\s*\d+:\s+(\d+)\.\./.exec(extents) ?? [];
    assert.ok(from, extents);
    await store.quarantine(manifest.sha256, 'a test');
    const object = store.catalog.objects.get(manifest.sha256);
    assert.equal(object?.state, 'partial');
    assert.equal(object.damage, 'a test');
    execFileSync('dd', [
      `if=${disk.layout.partialObject(manifest.sha256)}`,
      'iflag=nocache',
      'count=0',
      'status=none',
    ]);
    // Its last chunk is on a bad spot: all of the device behind its second one.
    stick.resize(Number(from) + 2 * MIB);
    const needed = await store.manifestOf(manifest.sha256);
    assert.ok(needed);
    const { partial, good } = await store.openPartial(needed, new AbortController().signal);
    await partial.close();
    assert.deepEqual([...good], [0, 1]);
    stick.resize(64 * MIB);
  },
);

test(
  'disk: one that hangs is given up, keeps nobody waiting, and is used again when it answers',
  cannotMake('exfat'),
  async (t) => {
    const { stick, root } = await plugged(t, 'exfat');
    const { disk } = await openStore(t, { root, more: { slowMs: 100, hungMs: 600 } });
    assert.equal(disk.state, 'ok');
    const seen: string[] = [];
    disk.onChange((state) => void seen.push(`${state} ${disk.readable}`));
    stick.freeze();
    await until(() => disk.reason === 'not_answering', 'it is given up');
    assert.equal(disk.readable, false);
    assert.deepEqual(seen, ['slow true', 'failing false']);
    const from = performance.now();
    for (let turn = 0; turn < 100; turn++) await disk.look();
    // Each that waited would wait for 600 ms.
    assert.ok(performance.now() - from < 30_000, 'looks do not wait for it');
    stick.thaw();
    await until(() => disk.state === 'ok', 'it answers again');
    assert.equal(disk.readable, true);
  },
);

test(
  'disk: one that hangs from the start does not keep the start, nor the end, waiting',
  cannotMake('exfat'),
  async (t) => {
    const { stick, root } = await plugged(t, 'exfat');
    stick.freeze();
    const { disk } = await openStore(t, { root, more: { slowMs: 100, hungMs: 300 } });
    assert.equal(disk.reason, 'not_answering');
    await disk.close();
    stick.thaw();
  },
);

test(
  'disk: what the kernel says of its reads makes it slow, and it is still used',
  cannotMake('ext4plain'),
  async (t) => {
    const { root } = await plugged(t, 'ext4plain');
    let reads = 0;
    let readMs = 0;
    const devices = new Set<string>();
    const sample = async (device: string, atMs: number) => {
      devices.add(device);
      return { atMs, reads, readMs, writes: 0, writeMs: 0, inFlight: 0 };
    };
    const { disk, store } = await openStore(t, { root, more: { sample } });
    assert.equal(disk.state, 'ok');
    assert.match([...devices].join(), /^7:\d+$/);
    reads += 20;
    readMs += 20 * 900;
    await until(() => disk.state === 'slow', 'it is slow');
    assert.equal(disk.reason, 'slow_io');
    assert.match(disk.problem ?? '', /a read takes 900 ms/);
    const bytes = randomBytes(10);
    await hold(store, bytes, manifestFor(bytes, 'http://127.0.0.1/'));
    reads += 2000;
    await until(() => disk.state === 'ok', 'it is quick again');
  },
);
