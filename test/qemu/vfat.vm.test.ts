import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { after, afterEach, before, describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { changedSchema, waitFor } from '#fleet/client/fleet-api.ts';
import type { Asset, Site } from '#protocol/http-fleet.ts';
import { BoardSystem } from './board-system.ts';
import { CHOSEN, needsBoard, WHOLE_BOARD } from './chosen.ts';
import { download, sha256 } from './download.ts';

const MIB = 1024 * 1024;
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
  async function assertServed(path: string): Promise<void> {
    const body = await waitFor(
      async () => {
        const link = await rig.link(site, path);
        const got = link === null ? null : await download(link);
        return got?.status === 200 && got.failure === null ? got.body : null;
      },
      () => `${path} is not served:\n${rig.logs().slice(-3000)}`,
      PATIENCE,
    );
    assert.equal(sha256(body), sha256(files.get(path) ?? Buffer.alloc(0)), path);
  }

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
  });

  it('serves right bytes only after the power was cut in the middle of a download', async () => {
    const path = write('/cut.bin', randomBytes(9 * MIB + 1));
    const assets = await rig.system.ingest(site, [path]);
    await rig.system.assign(assets, [rig]);
    await sleep(Math.random() * 8_000);
    await rig.board.powerOff();
    await rig.board.powerOn();
    await rig.board.untilAgentReady();
    for (const each of files.keys()) await assertServed(each);
    held.push(...assets);
  });

  it('is used again when the stick was pulled, and gives its room back', async () => {
    await rig.board.pullStick();
    await waitFor(
      async () => (await rig.link(site, '/small.bin')) === null || null,
      'it is not missed',
      PATIENCE,
    );
    await rig.board.plugStick();
    for (const each of files.keys()) await assertServed(each);
    const count = async () => Number(await say('find hearth/objects -type f | wc -l'));
    assert.equal(await count(), 3);
    const assetIds = held.map(({ id }) => id);
    await rig.system.api.post('/unassign', { assets: { assetIds } }, changedSchema);
    await waitFor(async () => (await count()) === 0 || null, 'objects are left', PATIENCE);
  });
});
