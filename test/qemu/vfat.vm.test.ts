import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { after, afterEach, before, describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { changedSchema, waitFor } from '#fleet/client/fleet-api.ts';
import type { Asset, Site } from '#protocol/http-fleet.ts';
import { BoardSystem } from './board-system.ts';
import { CHOSEN, needsBoard, WHOLE_BOARD } from './chosen.ts';
import { download, RestlessClient, sha256 } from './download.ts';

const MIB = 1024 * 1024;
const READ_ONLY = "grep -q ' vfat ro,' /proc/mounts";
const PATIENCE = { timeoutMs: 480_000 };
const isChosen = CHOSEN.boards.includes(WHOLE_BOARD) && CHOSEN.image === undefined;
const needed = isChosen ? await needsBoard(WHOLE_BOARD) : { skip: `runs on ${WHOLE_BOARD} alone` };
const options = { timeout: CHOSEN.timeoutMs, ...needed };

/** FAT32 by Linux's own driver, which many kernels are built without: here it is a board's. */
describe('the installed package with a FAT32 stick', options, () => {
  let rig: BoardSystem;
  let site: Site;
  let held: Asset[];
  const files = new Map<string, Buffer>();
  /** Runs a command at the top of the stick, wherever it is mounted now. */
  const say = (command: string) =>
    rig.board.mustRun(
      `cd "$(sed -n 's/^.dev.sd[a-z]1 \\([^ ]*\\) .*/\\1/p' /proc/mounts)" && { ${command}; } 2>&1`,
      60_000,
    );
  before(async () => {
    rig = await BoardSystem.start({ board: WHOLE_BOARD, memoryMib: 512, stickFilesystem: 'vfat' });
    await rig.pair();
    site = await rig.addSite();
  });
  afterEach((context) => {
    if ('passed' in context && !context.passed) console.error(rig?.logs());
  });
  after(async () => {
    await rig?.close();
  });

  function write(path: string, bytes: Buffer): string {
    files.set(path, bytes);
    rig.system.origin.write(path, bytes);
    return path;
  }
  /** Null while it is not served. @throws AssertionError when it is served, and not right */
  async function served(path: string): Promise<true | null> {
    const link = await rig.link(site, path);
    const got = link === null ? null : await download(link);
    if (got?.status !== 200 || got.failure !== null) return null;
    assert.equal(sha256(got.body), sha256(files.get(path) ?? Buffer.alloc(0)), path);
    return true;
  }
  const complaint = (path: string) => () => `${path} is not served:\n${rig.logs().slice(-3000)}`;
  const assertServed = (path: string) => waitFor(() => served(path), complaint(path), PATIENCE);
  /**
   * The file system has no journal: what a cut or a pull tears may be its own, and Linux then makes it read-only.
   * The box says so, and what it serves is right all the same.
   */
  const assertRightOrReadOnly = (path: string) =>
    waitFor(
      async () => (await served(path)) ?? ((await rig.board.run(READ_ONLY)).code === 0 || null),
      complaint(path),
      PATIENCE,
    );

  it('holds and serves objects on a file system without owners, links, case or files of 4 GiB', async () => {
    const paths = [write('/large.bin', randomBytes(9 * MIB + 77)), write('/small.bin', randomBytes(5))];
    held = await rig.hold(site, paths);
    // Mounted again for the agent's user, by the package's own script.
    assert.match(
      await say('grep " /mnt/sd" /proc/mounts'),
      /^\/dev\/sd[a-z]1 \/mnt\/sd[a-z]1 vfat rw,\S*gid=790/,
    );
    assert.match(await say('ls HEARTH/OBJECTS | head -1'), /^[0-9a-f]{2}$/m, 'case says nothing');
    assert.match(await say('ln -s hearth link || echo none'), /none/);
    assert.match(await say('ln .hearth-disk.json link || echo none'), /none/);
    // One byte beyond what a file may have, and the file is gone again.
    const tooLong = 'dd if=/dev/zero of=mine bs=1 count=1 seek=4294967296; rm mine';
    assert.match(await say(tooLong), /too large/i);
    for (const path of paths) await assertServed(path);
    const objects = async () => Number(await say('find hearth/objects -type f | wc -l'));
    assert.equal(await objects(), 2);
    const [large] = held;
    assert.ok(large);
    await rig.system.api.post('/unassign', { assets: { assetIds: [large.id] } }, changedSchema);
    await waitFor(async () => (await objects()) === 1 || null, 'its room is not given back', PATIENCE);
    files.delete(large.path);
  });

  if (CHOSEN.quick) return;

  it('serves nothing wrong when the power was cut in the middle of a download', async () => {
    const path = write('/cut.bin', randomBytes(9 * MIB + 1));
    await rig.system.assign(await rig.system.ingest(site, [path]), [rig]);
    const client = new RestlessClient(files, (wanted) => rig.link(site, wanted));
    await sleep(Math.random() * 8_000);
    await rig.board.powerOff();
    await rig.board.powerOn();
    await rig.board.untilAgentReady();
    for (const each of files.keys()) await assertRightOrReadOnly(each);
    await client.stop();
    assert.deepEqual(client.wrong, []);
  });

  it('serves nothing wrong when the stick was pulled, and uses it again', async () => {
    const client = new RestlessClient(files, (wanted) => rig.link(site, wanted));
    await rig.board.pullStick();
    await waitFor(
      async () => (await rig.link(site, '/small.bin')) === null || null,
      'it is not missed',
      PATIENCE,
    );
    await rig.board.plugStick();
    for (const each of files.keys()) await assertRightOrReadOnly(each);
    await client.stop();
    assert.deepEqual(client.wrong, []);
  });
});
