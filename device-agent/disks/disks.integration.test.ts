import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { closeSync, openSync } from 'node:fs';
import { mkdir, mkdtemp, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import type { TestContext } from 'node:test';
import { test } from 'node:test';
import { Household } from '#agent/settings/household.ts';
import { Store } from '#agent/store/store.ts';
import { hold, MIB, manifestFor, openStore, silent, tempFolder, until } from '#agent/store/store-fixture.ts';
import { DEFAULT_HOUSEHOLD } from '#protocol/household.ts';
import { cannotMake, TestDisk } from './disk-fixture.ts';
import { readMountTable } from './mounts.ts';
import { openDisks } from './wiring.ts';

const BOX = 'box-0123456789abcdef';
const OTHER = 'box-fedcba9876543210';
const needsDisks = cannotMake('ext4');

/** Where the disks of a test are mounted: those of others on this machine are none of its business. */
const ours = new WeakMap<TestContext, string>();

/** The disks of a box, with a store that follows them as the agent does. */
async function openBox(
  t: TestContext,
  wish: { path: string | 'auto' | null; onRoot?: boolean },
  earlier: { stateDir?: string; boxId?: string | null } = {},
) {
  const stateDir = earlier.stateDir ?? (await tempFolder(t, 'state'));
  const household = await Household.open(stateDir, DEFAULT_HOUSEHOLD);
  const disks = openDisks({
    wish: { onRoot: false, floorBytes: 0, probeMs: 100, ...wish },
    stateDir,
    household,
    boxId: () => (earlier.boxId === undefined ? BOX : earlier.boxId),
    stamp: () => new Date().toISOString(),
    log: silent,
    readTable: async () => {
      const mine = ours.get(t);
      const lines = (await readMountTable()).split('\n');
      return lines.filter((line) => line.includes(` ${mine}/`) || line.includes(' / / ')).join('\n');
    },
  });
  const { disk, mounts } = disks;
  const store = new Store(disk, silent, { settleMs: 0 });
  let loads = 0;
  const load = async () => {
    if (!disk.readable) return;
    await store.load();
    loads++;
  };
  let turn = Promise.resolve();
  disk.onChange(() => {
    turn = turn.then(load);
    return turn;
  });
  mounts.start(50);
  await disk.start();
  await turn;
  const close = async () => {
    mounts.close();
    await disk.close();
    await turn;
  };
  t.after(close);
  return { ...disks, store, stateDir, household, close, loads: () => loads };
}

async function readBack(store: Store, sha256: string, sizeBytes: number): Promise<Buffer> {
  const file = await store.openComplete(sha256);
  try {
    return (await file.read(Buffer.alloc(sizeBytes), 0, sizeBytes, 0)).buffer;
  } finally {
    await file.close();
  }
}

/** Two mount points of their own, as a system keeps them for disks. */
async function mountPoints(t: TestContext): Promise<[string, string]> {
  const folder = await mkdtemp(path.join(os.tmpdir(), 'hearth-mnt-'));
  ours.set(t, folder);
  t.after(async () => {
    for (const name of ['one', 'two'])
      spawnSync('umount', ['-l', path.join(folder, name)], { stdio: 'ignore' });
    await rm(folder, { recursive: true, force: true });
  });
  const made = [path.join(folder, 'one'), path.join(folder, 'two')] as [string, string];
  for (const one of made) await mkdir(one);
  return made;
}

test('disks: none is touched before the household has picked one', needsDisks, async (t) => {
  const [one] = await mountPoints(t);
  const stick = new TestDisk(t, 'ext4', { label: 'PHOTOS' });
  stick.plugIn(one);
  const before = await readdir(one);
  const { disk, choice, close } = await openBox(t, { path: null });
  assert.equal(disk.state, 'absent');
  assert.equal(disk.reason, 'none_chosen');
  const listed = (await choice.list()).find((item) => item.mount === one);
  assert.equal(listed?.state, 'free');
  assert.equal(listed.filesystem, 'ext4');
  assert.equal(listed.label, 'PHOTOS');
  assert.equal(listed.device, stick.device);
  assert.equal(listed.chosen, false);
  assert.ok(listed.totalBytes > 40 * MIB && listed.freeBytes > 30 * MIB, JSON.stringify(listed));
  const system = (await choice.list()).find((item) => item.mount === '/');
  if (system) assert.deepEqual([system.state, system.reason], ['unsuitable', 'system']);
  await assert.rejects(choice.choose('/', { adopt: false }), { code: 'conflict' });
  await assert.rejects(choice.choose(path.dirname(one), { adopt: true }), {
    code: 'conflict',
    message: /plug/,
  });
  await close();
  assert.deepEqual(await readdir(one), before);
});

test(
  'disks: the one picked is used at once, and found again at another mount point',
  needsDisks,
  async (t) => {
    const [one, two] = await mountPoints(t);
    const stick = new TestDisk(t, 'ext4');
    stick.plugIn(one);
    const box = await openBox(t, { path: null });
    const { disk, store, choice } = box;
    await choice.choose(one, { adopt: false });
    assert.equal(disk.state, 'ok');
    assert.equal(disk.layout.root, one);
    assert.equal(box.household.now.disk.mount, one);
    const bytes = randomBytes(MIB);
    const manifest = manifestFor(bytes, 'http://127.0.0.1/');
    await hold(store, bytes, manifest);
    stick.pull();
    await until(() => disk.state === 'absent', 'it is missed');
    assert.equal(disk.reason, 'not_plugged');
    assert.deepEqual(await readdir(one), [], 'nothing on the bare mount point');
    const loads = box.loads();
    stick.plugIn(two);
    await until(() => disk.state === 'ok' && box.loads() > loads, 'it is found where it is now');
    assert.equal(disk.layout.root, two);
    assert.ok((await readBack(store, manifest.sha256, MIB)).equals(bytes));
    assert.deepEqual(await readdir(one), []);
  },
);

test('disks: auto takes the largest that is free, and stays with it', needsDisks, async (t) => {
  const [one, two] = await mountPoints(t);
  const small = new TestDisk(t, 'ext4', { sizeBytes: 32 * MIB });
  const large = new TestDisk(t, 'ext4', { sizeBytes: 96 * MIB });
  small.plugIn(one);
  large.plugIn(two);
  const box = await openBox(t, { path: 'auto' });
  assert.equal(box.disk.state, 'ok');
  assert.equal(box.disk.layout.root, two);
  const { id } = box.disk;
  await box.close();
  large.pull();
  const later = await openBox(t, { path: 'auto' }, { stateDir: box.stateDir });
  assert.equal(later.disk.state, 'absent', 'another one is not taken instead');
  assert.ok(!(await readdir(one)).includes('hearth'));
  large.plugIn(two);
  await until(() => later.disk.state === 'ok', 'it is back');
  assert.equal(later.disk.id, id);
});

test(
  'disks: HEARTH_DISK at a bare mount point takes nothing, at the first start either',
  needsDisks,
  async (t) => {
    const [one] = await mountPoints(t);
    const box = await openBox(t, { path: one });
    assert.equal(box.disk.state, 'absent');
    assert.equal(box.disk.reason, 'not_mounted');
    assert.match(box.disk.problem ?? '', /no disk is mounted at/);
    await new Promise((resolve) => setTimeout(resolve, 300));
    assert.deepEqual(await readdir(one), []);
    const stick = new TestDisk(t, 'ext4');
    stick.plugIn(one);
    await until(() => box.disk.state === 'ok', 'the disk is taken');
    assert.ok((await readdir(one)).includes('hearth'));
    await assert.rejects(box.choice.choose(one, { adopt: false }), {
      code: 'conflict',
      message: /HEARTH_DISK/,
    });
  },
);

test(
  "disks: another box's is foreign; adopted, its content is believed once verified",
  needsDisks,
  async (t) => {
    const [one, two] = await mountPoints(t);
    const stick = new TestDisk(t, 'ext4', { sizeBytes: 96 * MIB });
    stick.plugIn(one);
    const theirs = await openBox(t, { path: null }, { boxId: OTHER });
    await theirs.choice.choose(one, { adopt: false });
    const good = randomBytes(2 * MIB + 5);
    const bad = randomBytes(3 * MIB);
    const goodManifest = manifestFor(good, 'http://127.0.0.1/a', { path: '/a' });
    const badManifest = manifestFor(bad, 'http://127.0.0.1/b', { path: '/b' });
    await hold(theirs.store, good, goodManifest);
    await hold(theirs.store, bad, badManifest);
    await theirs.close();
    bad[MIB + 7] = (bad[MIB + 7] ?? 0) ^ 1;
    await writeFile(theirs.disk.layout.object(badManifest.sha256), bad);
    await writeFile(path.join(one, 'photo.jpg'), 'mine');

    const mine = await openBox(t, { path: null });
    assert.equal((await mine.choice.list()).find((item) => item.mount === one)?.state, 'foreign');
    const marker = await readFile(mine.disk.layout.marker.replace(/.*\//, `${one}/`), 'utf8');
    await assert.rejects(mine.choice.choose(one, { adopt: false }), { code: 'disk_foreign' });
    assert.equal(
      await readFile(path.join(one, '.hearth-disk.json'), 'utf8'),
      marker,
      'refused, it is as it was',
    );
    await mine.choice.choose(one, { adopt: true });
    const { disk, store } = mine;
    assert.equal(disk.state, 'ok');
    assert.equal(
      [...store.catalog.assets.values()].length,
      0,
      'what the other box was to hold is nothing to us',
    );
    assert.equal(await readFile(path.join(one, 'photo.jpg'), 'utf8'), 'mine');
    for (const [manifest, chunks] of [
      [goodManifest, 3],
      [badManifest, 2],
    ] as const) {
      await store.want(manifest, null, Date.now());
      assert.equal(
        store.catalog.objects.get(manifest.sha256)?.state,
        'absent',
        'nothing is served unverified',
      );
      const object = await store.manifestOf(manifest.sha256);
      assert.ok(object);
      const { partial, good: verified } = await store.openPartial(object, new AbortController().signal);
      assert.equal(verified.size, chunks);
      if (manifest === goodManifest) await store.commit(partial);
      await partial.close();
    }
    assert.ok((await readBack(store, goodManifest.sha256, good.length)).equals(good));
    await mine.close();

    // The other box remembers the disk by an id it no longer has.
    stick.pull();
    stick.plugIn(two);
    const again = await openBox(t, { path: null }, { boxId: OTHER, stateDir: theirs.stateDir });
    assert.equal(again.disk.state, 'absent');
    assert.equal((await again.choice.list()).find((item) => item.mount === two)?.state, 'foreign');
  },
);

test('disks: another one is chosen while running; the first stays as it was', needsDisks, async (t) => {
  const [one, two] = await mountPoints(t);
  const first = new TestDisk(t, 'ext4');
  const second = new TestDisk(t, 'ext4');
  first.plugIn(one);
  second.plugIn(two);
  const { disk, store, choice } = await openBox(t, { path: null });
  await choice.choose(one, { adopt: false });
  const bytes = randomBytes(MIB);
  const manifest = manifestFor(bytes, 'http://127.0.0.1/');
  await hold(store, bytes, manifest);
  await choice.choose(two, { adopt: false });
  await until(
    () => disk.state === 'ok' && [...store.catalog.assets.values()].length === 0,
    'the other one is loaded',
  );
  assert.equal(disk.layout.root, two);
  await hold(store, bytes, manifest);
  assert.ok((await readdir(path.join(two, 'hearth', 'objects'))).length > 0);
  await choice.choose(one, { adopt: false });
  await until(
    () => disk.state === 'ok' && [...store.catalog.assets.values()].length === 1,
    'the first is back',
  );
  assert.ok((await readBack(store, manifest.sha256, MIB)).equals(bytes));
});

test(
  'disks: ejected it is unmounted; attached, or plugged in again, it is used again',
  needsDisks,
  async (t) => {
    const [one, two] = await mountPoints(t);
    const stick = new TestDisk(t, 'ext4');
    stick.plugIn(one);
    const { disk, choice } = await openBox(t, { path: null });
    await assert.rejects(choice.eject(), { code: 'conflict' });
    await choice.choose(one, { adopt: false });
    await choice.eject();
    assert.equal(disk.state, 'absent');
    assert.equal(disk.reason, 'ejected');
    assert.match(disk.problem ?? '', /can be pulled/);
    assert.ok(!(await readFile('/proc/self/mountinfo', 'utf8')).includes(one));
    await choice.attach();
    assert.equal(disk.state, 'ok');
    await choice.eject();
    stick.pull();
    await new Promise((resolve) => setTimeout(resolve, 300));
    assert.equal(disk.reason, 'ejected', 'pulled it is still what the household did with it');
    stick.plugIn(two);
    await until(() => disk.state === 'ok', 'it is used again without being asked');
    assert.equal(disk.layout.root, two);
  },
);

test('disks: one that cannot be unmounted is let go of all the same', needsDisks, async (t) => {
  const [one] = await mountPoints(t);
  const stick = new TestDisk(t, 'ext4');
  stick.plugIn(one);
  const { disk, choice } = await openBox(t, { path: null });
  await choice.choose(one, { adopt: false });
  const someone = openSync(path.join(one, 'hearth'), 'r');
  try {
    await choice.eject();
    assert.equal(disk.reason, 'ejected');
    assert.ok((await readFile('/proc/self/mountinfo', 'utf8')).includes(one), 'it was in use');
    await new Promise((resolve) => setTimeout(resolve, 300));
    assert.equal(disk.reason, 'ejected', 'it is not taken up again by itself');
  } finally {
    closeSync(someone);
  }
  await choice.attach();
  assert.equal(disk.state, 'ok');
});

test('disks: plugged in again between two looks, what was open before is not used', needsDisks, async (t) => {
  const [one] = await mountPoints(t);
  const stick = new TestDisk(t, 'ext4');
  stick.plugIn(one);
  const box = await openBox(t, { path: one });
  assert.equal(box.disk.state, 'ok');
  const loads = box.loads();
  const seen: string[] = [];
  box.disk.onChange((state) => void seen.push(state));
  const bytes = randomBytes(10);
  const manifest = manifestFor(bytes, 'http://127.0.0.1/');
  await hold(box.store, bytes, manifest);
  const open = await box.store.openComplete(manifest.sha256);
  t.after(() => open.close());
  stick.pull();
  stick.plugIn(one);
  await until(() => box.loads() > loads && box.disk.state === 'ok', 'it is loaded anew');
  assert.deepEqual(seen.slice(0, 2), ['absent', 'ok']);
});

test('disks: a marker that vanishes under a mounted disk means another disk', needsDisks, async (t) => {
  const [one] = await mountPoints(t);
  const stick = new TestDisk(t, 'ext4');
  stick.plugIn(one);
  const box = await openBox(t, { path: null });
  await box.choice.choose(one, { adopt: false });
  await rename(box.disk.layout.marker, path.join(one, 'x'));
  await until(() => box.disk.state === 'absent', 'it is no longer ours');
  await rm(path.join(one, 'hearth'), { recursive: true });
  await new Promise((resolve) => setTimeout(resolve, 300));
  assert.ok(!(await readdir(one)).includes('hearth'), 'nothing is written to it');
});

/** The disk a box uses, with one object on it and without its marker, seen by what comes next. */
async function unmarkedDisk(t: TestContext, wish: 'fixed' | 'picked', boxId?: string) {
  const [one] = await mountPoints(t);
  const stick = new TestDisk(t, 'ext4', { sizeBytes: 96 * MIB });
  stick.plugIn(one);
  const box = await openBox(t, { path: wish === 'fixed' ? one : null }, { boxId });
  if (wish === 'picked') await box.choice.choose(one, { adopt: false });
  await writeFile(path.join(one, 'photo.jpg'), 'mine');
  const bytes = randomBytes(MIB);
  const manifest = manifestFor(bytes, 'http://127.0.0.1/');
  await hold(box.store, bytes, manifest);
  const { id } = box.disk;
  await rm(box.disk.layout.marker);
  await until(() => box.disk.reason === 'unmarked', 'it is seen to have no mark');
  assert.equal(box.disk.state, 'absent');
  return { one, box, id, bytes, manifest };
}

/** Names, sizes and times of all that is there. */
const listing = (folder: string) =>
  execFileSync('find', [folder, '-printf', '%p %s %T@ %C@\\n'], { encoding: 'utf8' });

for (const wish of ['fixed', 'picked'] as const) {
  test(
    `disks: ${wish}, and without its marker, it is used again after a clear word, with all that is on it`,
    needsDisks,
    async (t) => {
      const { one, box, id, bytes, manifest } = await unmarkedDisk(t, wish);
      const { choice, disk, store } = box;
      const before = listing(one);
      await assert.rejects(choice.choose(one, { adopt: false }), { code: 'disk_unmarked', message: /mark/ });
      await new Promise((resolve) => setTimeout(resolve, 300));
      assert.equal(listing(one), before, 'nothing is written to it by itself');
      const listed = (await choice.list()).find((item) => item.mount === one);
      assert.equal(listed?.state, 'unmarked');
      const loads = box.loads();
      await choice.choose(one, { adopt: true });
      assert.equal(disk.state, 'ok');
      assert.equal(disk.id, id, 'it is the disk it was');
      await until(() => box.loads() > loads, 'it is loaded');
      assert.ok((await readBack(store, manifest.sha256, MIB)).equals(bytes));
      assert.equal(await readFile(path.join(one, 'photo.jpg'), 'utf8'), 'mine');
      await assert.rejects(choice.choose('/elsewhere', { adopt: true }), { code: 'conflict' });
    },
  );
}

test('disks: without its marker it is found to have none after a restart too', needsDisks, async (t) => {
  const { one, box, id } = await unmarkedDisk(t, 'picked');
  await box.close();
  const again = await openBox(t, { path: null }, { stateDir: box.stateDir });
  assert.equal(again.disk.reason, 'unmarked');
  assert.ok(again.disk.problem?.includes(one));
  await again.choice.choose(one, { adopt: true });
  assert.equal(again.disk.id, id);
});

test(
  "disks: another box's that has lost its marker is taken by nobody by itself, and its content verified first",
  needsDisks,
  async (t) => {
    const { one, box, id, manifest } = await unmarkedDisk(t, 'picked', OTHER);
    await box.close();
    for (const wish of ['auto', one]) {
      const { disk, close } = await openBox(t, { path: wish });
      assert.equal(disk.state, 'absent', wish);
      await close();
    }
    const mine = await openBox(t, { path: null });
    assert.equal(mine.disk.reason, 'none_chosen', 'it is not the one that is missed');
    await assert.rejects(mine.choice.choose(one, { adopt: false }), { code: 'disk_unmarked' });
    await mine.choice.choose(one, { adopt: true });
    assert.notEqual(mine.disk.id, id);
    assert.equal(mine.store.catalog.assetCount, 0);
    assert.deepEqual(await readdir(mine.disk.layout.adopted), [manifest.sha256]);
  },
);

test('disks: a fixed one of another box, or with a damaged marker, can be adopted', needsDisks, async (t) => {
  const [one] = await mountPoints(t);
  const stick = new TestDisk(t, 'ext4');
  stick.plugIn(one);
  const theirs = await openBox(t, { path: one }, { boxId: OTHER });
  await theirs.close();
  const { disk, choice } = await openBox(t, { path: one });
  assert.equal(disk.state, 'foreign');
  await assert.rejects(choice.choose(one, { adopt: false }), { code: 'disk_foreign' });
  await choice.choose(one, { adopt: true });
  assert.equal(disk.state, 'ok');
  const { id } = disk;
  await writeFile(disk.layout.marker, '{');
  await until(() => disk.reason === 'marker_damaged', 'the damage is seen');
  await choice.choose(one, { adopt: true });
  assert.equal(disk.state, 'ok');
  assert.equal(disk.id, id, 'the copy says which disk it is');
});

test(
  'disks: of two boxes that are not paired the first has the disk; paired, it keeps what is on it',
  needsDisks,
  async (t) => {
    const [one] = await mountPoints(t);
    const stick = new TestDisk(t, 'ext4');
    stick.plugIn(one);
    const first = await openBox(t, { path: one }, { boxId: null });
    assert.equal(first.disk.state, 'ok');
    const bytes = randomBytes(MIB);
    const manifest = manifestFor(bytes, 'http://127.0.0.1/');
    await hold(first.store, bytes, manifest);
    const second = await openBox(t, { path: one }, { boxId: null });
    assert.deepEqual([second.disk.state, second.disk.reason], ['foreign', 'other_box']);
    assert.equal((await second.choice.list()).find((item) => item.mount === one)?.state, 'foreign');
    await first.disk.belongTo(BOX);
    assert.equal(first.disk.state, 'ok');
    assert.ok((await readBack(first.store, manifest.sha256, MIB)).equals(bytes));
    // Adopted by the second, it is the first's no more.
    await first.close();
    await second.choice.choose(one, { adopt: true });
    assert.equal(second.disk.state, 'ok');
    const again = await openBox(t, { path: one }, { stateDir: first.stateDir });
    assert.equal(again.disk.state, 'foreign');
  },
);

for (const kind of ['exfat', 'ntfs', 'vfat'] as const) {
  test(`disks: ${kind} does all that is asked of it`, cannotMake(kind), async (t) => {
    const [one] = await mountPoints(t);
    const stick = new TestDisk(t, kind, { label: 'STICK' });
    stick.plugIn(one);
    const box = await openBox(t, { path: null });
    const listed = (await box.choice.list()).find((item) => item.mount === one);
    assert.equal(listed?.state, 'free', JSON.stringify(listed));
    await box.choice.choose(one, { adopt: false });
    assert.equal(box.disk.state, 'ok', box.disk.problem ?? '');
    const bytes = randomBytes(2 * MIB + 1);
    const manifest = manifestFor(bytes, 'http://127.0.0.1/');
    await hold(box.store, bytes, manifest);
    await box.store.demote(manifest.sha256, new Set([1]), 'a test');
    const object = await box.store.manifestOf(manifest.sha256);
    assert.ok(object);
    const { partial, good } = await box.store.openPartial(object, new AbortController().signal);
    assert.equal(good.size, 2);
    await partial.write(bytes.subarray(MIB, 2 * MIB), MIB);
    await box.store.commit(partial);
    await partial.close();
    await box.choice.eject();
    assert.ok(!(await readFile('/proc/self/mountinfo', 'utf8')).includes(one), box.disk.problem ?? '');
    stick.pull();
    stick.plugIn(one);
    await until(
      () => box.disk.state === 'ok' && [...box.store.catalog.assets.values()].length === 1,
      'it is back',
    );
    assert.ok((await readBack(box.store, manifest.sha256, bytes.length)).equals(bytes));
    await box.store.unwant(manifest.assetId, 'deleted');
    await box.store.removeObject(manifest.sha256);
    const left = execFileSync('find', [path.join(one, 'hearth'), '-type', 'f'], { encoding: 'utf8' });
    assert.equal(left.trim(), box.disk.layout.markerCopy, 'but for whose it is');
  });
}

test('disks: what fills a quota is full, and a larger quota ends it', async (t) => {
  let quota = { unit: 'bytes' as const, value: 3 * MIB };
  const { disk, store } = await openStore(t, { more: { bounds: () => ({ floorBytes: 0, quota }) } });
  disk.countBy(() => store.catalog.totals().bytes);
  const bytes = randomBytes(2 * MIB);
  await hold(store, bytes, manifestFor(bytes, 'http://127.0.0.1/'));
  assert.equal(disk.spareBytes, MIB);
  disk.waitFor(2 * MIB);
  await until(() => disk.state === 'full', 'there is no room for it');
  assert.equal(disk.reason, 'no_room');
  quota = { unit: 'bytes', value: MIB };
  await until(() => disk.reason === 'over_quota', 'the quota was made smaller');
  quota = { unit: 'bytes', value: 8 * MIB };
  await until(() => disk.state === 'ok', 'there is room');
});
