import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { after, afterEach, before, describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { buildAgent } from '#agent/build.ts';
import { changedSchema, waitFor } from '#fleet/client/fleet-api.ts';
import type { Asset, Site } from '#protocol/http-fleet.ts';
import { BoardSystem } from './board-system.ts';

const MIB = 1024 * 1024;
const PATIENCE = { timeoutMs: 240_000 };
const bundle = join(import.meta.dirname, '..', '..', 'dist', 'agent');

/** FAT32 by Linux's own driver, which many kernels are built without: here it is a board's. */
describe('the agent with a FAT32 stick', { timeout: 1_500_000 }, () => {
  let rig: BoardSystem;
  let site: Site;
  let held: Asset[];
  const files = new Map<string, Buffer>();
  before(async () => {
    await buildAgent();
    rig = await BoardSystem.start({ board: 'virt-arm64', memoryMib: 512, bundle, stickFilesystem: 'vfat' });
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
        if (link === null) return null;
        const response = await fetch(link, { redirect: 'manual', signal: AbortSignal.timeout(180_000) });
        const got = Buffer.from(await response.arrayBuffer().catch(() => new ArrayBuffer(0)));
        return response.status === 200 && got.length === files.get(path)?.length ? got : null;
      },
      () => `${path} is not served:\n${rig.logs().slice(-3000)}`,
      PATIENCE,
    );
    assert.equal(sha256(body), sha256(files.get(path) ?? Buffer.alloc(0)), path);
  }

  it('holds and serves objects on a file system without permissions, links, case or files of 4 GiB', async () => {
    const paths = [write('/large.bin', randomBytes(9 * MIB + 77)), write('/small.bin', randomBytes(5))];
    held = await rig.hold(site, paths);
    const say = (command: string) => rig.board.mustRun(`cd /mnt/usb && { ${command}; } 2>&1`, 60_000);
    assert.match(await say('grep " /mnt/usb " /proc/mounts'), /^\/dev\/sd[a-z]1 \/mnt\/usb vfat rw/);
    assert.match(await say('ls HEARTH/OBJECTS | head -1'), /^[0-9a-f]{2}$/m, 'case says nothing');
    assert.match(await say('ln -s hearth link || echo none'), /none/);
    assert.match(await say('ln .hearth-disk.json link || echo none'), /none/);
    // One byte beyond what a file may have, and the file is gone again.
    const tooLong = 'dd if=/dev/zero of=mine bs=1 count=1 seek=4294967295; rm mine';
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
    const object = '/mnt/usb/hearth/objects';
    const count = async () => Number(await rig.board.mustRun(`find ${object} -type f | wc -l`, 60_000));
    assert.equal(await count(), 3);
    const assetIds = held.map(({ id }) => id);
    await rig.system.api.post('/unassign', { assets: { assetIds } }, changedSchema);
    await waitFor(async () => (await count()) === 0 || null, 'objects are left', PATIENCE);
  });
});

function sha256(bytes: Buffer): string {
  return createHash('sha256').update(bytes).digest('hex');
}
