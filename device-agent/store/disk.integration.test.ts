import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdir, mkdtemp, readdir, readFile, rename, rm, stat, symlink, writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import type { TestContext } from 'node:test';
import { test } from 'node:test';
import { folderPlace } from '#agent/disks/places.ts';
import { newId } from '#protocol/ids.ts';
import {
  hold,
  isRoot,
  MIB,
  manifestFor,
  mountTmpfs,
  needsRoot,
  openStore,
  tempFolder,
  until,
} from './store-fixture.ts';

const BOX = 'box-0123456789abcdef';
const OTHER = 'box-fedcba9876543210';

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
  // Any folder of the system will do here, so this one may be the disk.
  assert.equal(disk.reason, 'unmarked');
  assert.match(disk.problem ?? '', /plug in the disk/);
  await new Promise((resolve) => setTimeout(resolve, 200));
  assert.deepEqual(await readdir(root), []);
  await rm(root, { recursive: true });
  await until(() => disk.problem?.startsWith('no disk at') ?? false, 'the folder is missed');
  await rename(elsewhere, root);
  await until(() => disk.state === 'ok', 'the disk is back');
});

test('disk: an agent that is not paired marks its disk as its own; a marker without that name is taken as before', async (t) => {
  const first = await openStore(t);
  const written = JSON.parse(await readFile(first.disk.layout.marker, 'utf8'));
  const { agentId, ...old } = written;
  assert.match(agentId, /^agent-/);
  assert.deepEqual(JSON.parse(await readFile(first.disk.layout.markerCopy, 'utf8')), written);
  const other = await openStore(t, { root: first.root });
  assert.deepEqual([other.disk.state, other.disk.reason], ['foreign', 'other_box']);
  await Promise.all([first.disk.close(), other.disk.close()]);
  // As an agent of before has left it, on a box whose memory of it is lost, or not.
  for (const stateDir of [undefined, first.stateDir]) {
    await writeFile(first.disk.layout.marker, JSON.stringify(old));
    const taken = await openStore(t, { root: first.root, stateDir });
    assert.equal(taken.disk.state, 'ok');
    const now = JSON.parse(await readFile(first.disk.layout.marker, 'utf8'));
    const name = JSON.parse(await readFile(path.join(taken.stateDir, 'agent.json'), 'utf8')).agentId;
    assert.deepEqual(now, { ...old, agentId: name });
    assert.deepEqual(JSON.parse(await readFile(first.disk.layout.markerCopy, 'utf8')), now);
    await taken.disk.close();
  }
});

test('disk: a damaged name of its own is replaced, and the disk stays its own by its id', async (t) => {
  const { disk, root, stateDir } = await openStore(t);
  await disk.close();
  await writeFile(path.join(stateDir, 'agent.json'), '{"v":1,"agentId":"agent-');
  const again = await openStore(t, { root, stateDir });
  assert.equal(again.disk.state, 'ok');
  assert.equal(again.disk.id, disk.id);
});

test(
  'disk: one that is full to the last byte is ours without our name on it, until there is room',
  needsRoot,
  async (t) => {
    const root = await mountTmpfs(t, 8 * MIB);
    const { disk, stateDir } = await openStore(t, { root });
    await disk.close();
    const { agentId: _, ...old } = JSON.parse(await readFile(disk.layout.marker, 'utf8'));
    await writeFile(disk.layout.marker, JSON.stringify(old));
    await writeFile(path.join(root, 'mine'), randomBytes(8 * MIB)).catch(() => undefined);
    const again = await openStore(t, { root, stateDir, floorBytes: 1 });
    assert.equal(again.disk.state, 'full');
    assert.equal(again.disk.readable, true);
    await rm(path.join(root, 'mine'));
    await until(() => again.disk.state === 'ok', 'there is room');
    assert.ok('agentId' in JSON.parse(await readFile(disk.layout.marker, 'utf8')));
  },
);

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
  const read = await file.read(Buffer.alloc(MIB), 0, MIB, 0);
  assert.ok(read.buffer.equals(bytes));
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

/** A small ext4 disk whose device can be cut to nothing and made whole: in between, real EIO from the kernel. */
async function failingDisk(t: TestContext): Promise<{ root: string; resize: (bytes: number) => void }> {
  const backing = await mountTmpfs(t, 80 * MIB);
  const image = path.join(backing, 'image');
  const root = await mkdtemp(path.join(os.tmpdir(), 'hearth-loop-'));
  execFileSync('truncate', ['-s', String(64 * MIB), image]);
  execFileSync('mkfs.ext4', ['-q', '-O', '^has_journal', '-b', '4096', '-N', '2048', image]);
  const device = execFileSync('losetup', ['-f', '--show', image], { encoding: 'utf8' }).trim();
  t.after(async () => {
    execFileSync('umount', ['-l', root]);
    execFileSync('losetup', ['-d', device]);
    await rm(root, { recursive: true, force: true });
  });
  execFileSync('mount', [device, root]);
  const resize = (bytes: number) => {
    execFileSync('truncate', ['-s', String(bytes), image]);
    execFileSync('losetup', ['-c', device]);
  };
  return { root, resize };
}

const hasLoop =
  isRoot && spawnSync('losetup', ['-f']).status === 0 && spawnSync('mkfs.ext4', ['-V']).status === 0;
const needsLoop = hasLoop ? {} : { skip: 'a failing disk needs root, a loop device and mkfs.ext4' };

test(
  'disk: one that fails (EIO) is named, keeps what is good, and is used again when it works',
  needsLoop,
  async (t) => {
    const { root, resize } = await failingDisk(t);
    const { disk, store } = await openStore(t, { root });
    // The part that goes on working is the owner's, so that all of ours lies beyond it.
    await writeFile(path.join(root, 'mine'), randomBytes(6 * MIB));
    const good = randomBytes(2 * MIB);
    const held = manifestFor(good, 'http://127.0.0.1/a', { path: '/a' });
    await hold(store, good, held);
    resize(4096);
    const late = randomBytes(2 * MIB);
    // In a folder that is there: what making one says of a device that became smaller is ENOMEM.
    const assetId = held.assetId.slice(0, 8) + newId('asset').slice(8);
    const wanted = manifestFor(late, 'http://127.0.0.1/b', { assetId, path: '/b' });
    await assert.rejects(hold(store, late, wanted), { code: 'disk_failing', message: /EIO/ });
    await until(() => disk.state === 'failing', 'it is seen to fail');
    assert.match(disk.problem ?? '', /the disk fails \(EIO\)/);
    assert.equal(disk.readable, true);
    await assert.rejects(store.want(wanted, null, Date.now()), { code: 'disk_failing' });
    assert.equal(store.catalog.objects.get(held.sha256)?.state, 'complete');
    resize(64 * MIB);
    await until(() => disk.state === 'ok', 'it works again');
    await hold(store, late, wanted);
  },
);

test('disk: links where our folders and files should be are not followed', async (t) => {
  const made = await openStore(t);
  const { layout } = made.disk;
  const outside = await tempFolder(t, 'outside');
  const victim = path.join(outside, 'victim');
  await writeFile(victim, 'keep');
  await symlink(victim, layout.probe);
  made.disk.failed(Object.assign(new Error('test'), { code: 'EIO' }));
  await until(async () => !(await readdir(layout.home)).includes('.probe'), 'it was tried');
  assert.equal(await readFile(victim, 'utf8'), 'keep');
  await made.disk.close();
  await rm(layout.objects, { recursive: true });
  await symlink(outside, layout.objects);
  const { disk } = await openStore(t, made);
  assert.equal(disk.state, 'failing');
  assert.match(disk.problem ?? '', /objects is in the way.*remove it/);
  await rm(layout.objects);
  await until(() => disk.state === 'ok', 'it is in order');
});

test('disk: what is plugged in while a look is under way is seen by the next, at once', async (t) => {
  const made = await openStore(t);
  await made.disk.close();
  const place = folderPlace(made.root, true);
  const absent = { reason: 'not_plugged' as const, problem: 'a test' };
  let plugged = false;
  const looks: ((spot: Awaited<ReturnType<typeof place.find>>) => void)[] = [];
  const { disk } = await openStore(t, {
    ...made,
    more: {
      probeMs: 3_600_000,
      hungMs: 20,
      place: {
        find: async (self) => (plugged ? place.find(self) : new Promise((resolve) => looks.push(resolve))),
      },
    },
  });
  assert.equal(looks.length, 1);
  plugged = true;
  disk.noticed();
  // It had looked before.
  looks[0]?.(absent);
  await until(() => disk.state === 'ok', 'it is seen');
});

test('disk: a pipe for a marker keeps nobody waiting', async (t) => {
  const { disk, root, stateDir } = await openStore(t);
  await disk.close();
  await rm(disk.layout.marker);
  execFileSync('mkfifo', [disk.layout.marker]);
  const again = await openStore(t, { root, stateDir });
  assert.equal(again.disk.state, 'foreign');
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
