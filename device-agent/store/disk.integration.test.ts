import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdir, mkdtemp, readdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import type { TestContext } from 'node:test';
import { test } from 'node:test';
import { hold, MIB, manifestFor, openStore, tempFolder, until } from './store-fixture.ts';

const isRoot = process.getuid?.() === 0 && process.platform === 'linux';
const needsRoot = isRoot ? {} : { skip: 'mounting a file system needs root on Linux' };
const BOX = 'box-0123456789abcdef';
const OTHER = 'box-fedcba9876543210';

/** A small file system of its own. */
async function mountTmpfs(t: TestContext, bytes: number): Promise<string> {
  const folder = await mkdtemp(path.join(os.tmpdir(), 'hearth-mount-'));
  execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${bytes}`, 'tmpfs', folder]);
  t.after(async () => {
    const mounts = await readFile('/proc/mounts', 'utf8');
    if (mounts.includes(` ${folder} `)) execFileSync('umount', ['-l', folder]);
    await rm(folder, { recursive: true, force: true });
  });
  return folder;
}

test('disk: a folder it is pointed to is adopted once, and known again', async (t) => {
  const first = await openStore(t);
  assert.equal(first.disk.state, 'ok');
  const marker = JSON.parse(await readFile(first.disk.layout.marker, 'utf8'));
  assert.equal(marker.boxId, null);
  const again = await openStore(t, first);
  assert.equal(again.disk.state, 'ok');
  await again.disk.belongTo(BOX);
  const owned = JSON.parse(await readFile(first.disk.layout.marker, 'utf8'));
  assert.deepEqual(owned, { ...marker, boxId: BOX });
});

test('disk: without the marker it remembers, the mount point is absent and never written to', async (t) => {
  const { disk, root } = await openStore(t);
  const elsewhere = `${root}-unplugged`;
  t.after(() => rm(elsewhere, { recursive: true, force: true }));
  await rename(root, elsewhere);
  await mkdir(root);
  await until(() => disk.state === 'absent', 'the disk is absent');
  assert.match(disk.problem ?? '', /plug it in/);
  await new Promise((resolve) => setTimeout(resolve, 200));
  assert.deepEqual(await readdir(root), []);
  await rm(root, { recursive: true });
  await until(() => disk.problem?.startsWith('no disk at') ?? false, 'the folder is missed');
  await rename(elsewhere, root);
  await until(() => disk.state === 'ok', 'the disk is back');
});

test("disk: another box's disk is foreign and left alone", async (t) => {
  const other = await openStore(t, { boxId: OTHER });
  const before = await readFile(other.disk.layout.marker, 'utf8');
  for (const boxId of [BOX, null]) {
    const { disk } = await openStore(t, { root: other.root, boxId });
    assert.equal(disk.state, 'foreign');
    assert.throws(() => disk.assertWritable(), { code: 'disk_foreign' });
  }
  assert.equal(await readFile(other.disk.layout.marker, 'utf8'), before);
});

test('disk: a damaged marker is not overwritten', async (t) => {
  const root = await tempFolder(t, 'disk');
  await writeFile(path.join(root, '.hearth-disk.json'), '{"v":1,');
  const { disk } = await openStore(t, { root });
  assert.equal(disk.state, 'foreign');
  assert.equal(await readFile(disk.layout.marker, 'utf8'), '{"v":1,');
});

test("disk: the owner's own files are never touched", async (t) => {
  const root = await tempFolder(t, 'disk');
  await mkdir(path.join(root, 'hearth', 'objects', 'ab'), { recursive: true });
  const mine = [
    'photo.jpg',
    'hearth/notes.txt',
    'hearth/objects/readme',
    'hearth/objects/ab/abc',
    `hearth/objects/ab/${'c'.repeat(64)}`,
  ];
  for (const name of mine) await writeFile(path.join(root, name), name);
  const { store } = await openStore(t, { root });
  assert.deepEqual([...store.orphans], []);
  const bytes = randomBytes(1000);
  const manifest = manifestFor(bytes, 'http://127.0.0.1/');
  await hold(store, bytes, manifest);
  await store.unwant(manifest.assetId, 'deleted');
  await store.removeObject(manifest.sha256);
  for (const name of mine) assert.equal(await readFile(path.join(root, name), 'utf8'), name);
});

test('disk: read-only is named, still serves, and is recovered from', needsRoot, async (t) => {
  const root = await mountTmpfs(t, 16 * MIB);
  const { disk, store } = await openStore(t, { root });
  const bytes = randomBytes(MIB);
  const manifest = manifestFor(bytes, 'http://127.0.0.1/');
  await hold(store, bytes, manifest);
  execFileSync('mount', ['-o', 'remount,ro', root]);
  await until(() => disk.state === 'read_only', 'read-only is seen');
  assert.ok(disk.readable);
  const file = await store.openComplete(manifest.sha256);
  assert.ok((await file.readFile()).equals(bytes));
  await file.close();
  const other = manifestFor(randomBytes(10), 'http://127.0.0.1/b');
  await assert.rejects(store.want(other, null, Date.now()), { code: 'disk_read_only' });
  execFileSync('mount', ['-o', 'remount,rw', root]);
  await until(() => disk.state === 'ok', 'it can be written again');
  await store.want(other, null, Date.now());
});

test('disk: full is named when a write fails, and ends when there is room again', needsRoot, async (t) => {
  const root = await mountTmpfs(t, 4 * MIB);
  const { disk, store } = await openStore(t, { root });
  const bytes = randomBytes(6 * MIB);
  const manifest = manifestFor(bytes, 'http://127.0.0.1/');
  await assert.rejects(hold(store, bytes, manifest), (error) => {
    assert.equal(disk.failed(error).code, 'disk_full');
    return true;
  });
  await until(() => disk.state === 'full', 'full is seen');
  await store.unwant(manifest.assetId, 'deleted');
  await store.removeObject(manifest.sha256);
  await until(() => disk.state === 'ok', 'there is room again');
});

test('disk: a real unmount under it is survived, and the flash below stays clean', needsRoot, async (t) => {
  const root = await mountTmpfs(t, 16 * MIB);
  const { disk, store } = await openStore(t, { root });
  const held = randomBytes(MIB);
  await hold(store, held, manifestFor(held, 'http://127.0.0.1/'));
  execFileSync('umount', ['-l', root]);
  const late = randomBytes(2 * MIB);
  // Before the next look, even: the folders of the store are not there, and are not made.
  await assert.rejects(hold(store, late, manifestFor(late, 'http://127.0.0.1/b')));
  await until(() => disk.state === 'absent', 'the disk is absent');
  assert.deepEqual(await readdir(root), []);
});

test('disk: what waits for room is said, and no longer once nothing waits', async (t) => {
  const { disk } = await openStore(t);
  disk.waitFor(2 ** 50);
  await until(() => disk.state === 'full', 'full');
  assert.match(disk.problem ?? '', /are needed/);
  disk.waitFor(0);
  await until(() => disk.state === 'ok', 'ok');
  assert.ok((await stat(disk.layout.home)).isDirectory());
});
