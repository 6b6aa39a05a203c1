import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import type { TestContext } from 'node:test';
import pino from 'pino';
import { folderPlace } from '#agent/disks/places.ts';
import type { AssetManifest } from '#protocol/asset.ts';
import { newId } from '#protocol/ids.ts';
import { chunkSizeFor } from '#protocol/limits.ts';
import type { DiskOptions } from './disk.ts';
import { Disk } from './disk.ts';
import { diskMemoryIn } from './marker.ts';
import type { ObjectFilesOptions } from './object-files.ts';
import { Store } from './store.ts';

export const MIB = 1024 * 1024;
export const silent = pino({ level: 'silent' });
export const testSiteId = 'site-0123456789abcdef';

/** The manifest ingest would make of these bytes. */
export function manifestFor(
  bytes: Buffer,
  originUrl: string,
  more: Partial<AssetManifest> = {},
): AssetManifest {
  const chunkSizeBytes = chunkSizeFor(bytes.length);
  const hashes: Buffer[] = [];
  for (let at = 0; at < bytes.length; at += chunkSizeBytes) {
    hashes.push(
      createHash('sha256')
        .update(bytes.subarray(at, at + chunkSizeBytes))
        .digest(),
    );
  }
  return {
    assetId: newId('asset'),
    siteId: testSiteId,
    path: '/video/a.mp4',
    originUrl,
    sizeBytes: bytes.length,
    sha256: createHash('sha256').update(bytes).digest('hex'),
    chunkSizeBytes,
    chunkHashes: Buffer.concat(hashes).toString('base64url'),
    headers: {
      contentType: 'video/mp4',
      cacheControl: 'public, max-age=60',
      lastModified: 'Wed, 01 Jul 2026 10:00:00 GMT',
    },
    ...more,
  };
}

/** A folder that is removed when the test ends. */
export async function tempFolder(t: TestContext, name: string): Promise<string> {
  const folder = await mkdtemp(path.join(os.tmpdir(), `hearth-${name}-`));
  // A look at a disk that is under way may make something while it is being emptied.
  t.after(() => rm(folder, { recursive: true, force: true, maxRetries: 10 }));
  return folder;
}

export const isRoot = process.getuid?.() === 0 && process.platform === 'linux';
export const needsRoot = isRoot ? {} : { skip: 'mounting a file system needs root on Linux' };

/** A small file system of its own. */
export async function mountTmpfs(t: TestContext, bytes: number): Promise<string> {
  const folder = await mkdtemp(path.join(os.tmpdir(), 'hearth-mount-'));
  execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${bytes}`, 'tmpfs', folder]);
  t.after(async () => {
    const mounts = await readFile('/proc/mounts', 'utf8');
    if (mounts.includes(` ${folder} `)) execFileSync('umount', ['-l', folder]);
    await rm(folder, { recursive: true, force: true });
  });
  return folder;
}

export interface StoreFixture {
  root: string;
  stateDir: string;
  disk: Disk;
  store: Store;
}

/** A store on a real folder; `root` and `stateDir` of an earlier one make it a restart. */
export async function openStore(
  t: TestContext,
  earlier: {
    root?: string;
    stateDir?: string;
    boxId?: string | null;
    floorBytes?: number;
    probeMs?: number;
    more?: Partial<DiskOptions>;
    /** In life it takes seconds, and a store opened again would verify all anew. */
    files?: ObjectFilesOptions;
  } = {},
): Promise<StoreFixture> {
  const root = earlier.root ?? (await tempFolder(t, 'disk'));
  const stateDir = earlier.stateDir ?? (await tempFolder(t, 'state'));
  const disk = new Disk({
    place: folderPlace(root, true),
    memory: diskMemoryIn(stateDir),
    boxId: earlier.boxId ?? null,
    bounds: () => ({ floorBytes: earlier.floorBytes ?? 0, quota: null }),
    probeMs: earlier.probeMs ?? 50,
    stamp: () => new Date().toISOString(),
    log: silent,
    ...earlier.more,
  });
  const store = new Store(disk, silent, { settleMs: 0, ...earlier.files });
  await disk.start();
  if (disk.readable) await store.load();
  t.after(() => disk.close());
  return { root, stateDir, disk, store };
}

/** Puts bytes into the store as a download would. */
export async function hold(store: Store, bytes: Buffer, manifest: AssetManifest): Promise<void> {
  await store.want(manifest, null, Date.now());
  const object = await store.manifestOf(manifest.sha256);
  if (!object) throw new Error('not wanted');
  const { partial } = await store.openPartial(object, new AbortController().signal);
  try {
    await partial.write(bytes, 0);
    for (let index = 0; index * 32 < object.hashes.length; index++) await partial.keep(index);
    await store.commit(partial);
  } finally {
    await partial.close();
  }
}

/** Waits until a condition holds; fails after a generous time. */
export async function until(
  condition: () => boolean | Promise<boolean>,
  what: string,
  timeoutMs = 20_000,
): Promise<void> {
  const deadline = performance.now() + timeoutMs;
  while (!(await condition())) {
    if (performance.now() > deadline) throw new Error(`this did not come about: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}
