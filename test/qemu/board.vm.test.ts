import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, afterEach, before, describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { buildAgent } from '#agent/build.ts';
import { BOARDS } from '#firmware/qemu/boards.ts';
import { waitFor } from '#fleet/client/fleet-api.ts';
import { prepareVideo } from '#local/video.ts';
import type { Site } from '#protocol/http-fleet.ts';
import { BoardSystem, memoryOf } from './board-system.ts';

const MIB = 1024 * 1024;
/** What the agent may take on a 512 MB board. */
const MOST_RSS_BYTES = 96e6;
const PATIENCE = { timeoutMs: 240_000 };
const AGENT = '$(cat /run/agent.pid)';
const CUTS = Number(process.env.HEARTH_QEMU_CUTS ?? 3);
const only = process.env.HEARTH_QEMU_BOARD;

await buildAgent();
const bundle = join(import.meta.dirname, '..', '..', 'dist', 'agent');

for (const board of Object.keys(BOARDS).filter((name) => only === undefined || name === only)) {
  describe(`the agent on an emulated ${board} with 512 MB`, { timeout: 1_500_000 }, () => {
    let rig: BoardSystem;
    let site: Site;
    let video: Buffer;
    before(async () => {
      rig = await BoardSystem.start({ board, memoryMib: 512, bundle });
      await rig.pair();
      site = await rig.addSite();
      video = readFileSync(join((await prepareVideo(rig.system.origin.root)).root, 'bbb.mp4'));
    });
    afterEach((context) => {
      if ('passed' in context && !context.passed) console.error(rig?.logs());
    });
    after(async () => {
      await rig?.close();
    });

    it('caches the real video on its stick and serves it whole', async () => {
      await rig.hold(site, ['/bbb.mp4']);
      const got = await download(await rig.untilLinked(site, '/bbb.mp4'));
      assert.equal(got.failure, null);
      assert.equal(sha256(got.body), sha256(video));
      const stored = await rig.board.mustRun('grep " /mnt/usb " /proc/mounts; du -sk /mnt/usb', 60_000);
      assert.match(stored, /^\/dev\/sd[a-z]1 \/mnt\/usb ext4/);
      assert.ok(Number(/^(\d+)\t/m.exec(stored)?.[1]) * 1024 > video.length, stored);
      const { rssBytes } = await memoryOf(rig.board, AGENT);
      assert.ok(rssBytes < MOST_RSS_BYTES, `${rssBytes} bytes resident`);
    });

    it('gives no wrong byte when its stick is pulled under load, and serves again when it is back', async () => {
      const pid = await rig.board.mustRun('cat /run/agent.pid');
      const link = await rig.untilLinked(site, '/bbb.mp4');
      // From the file's far end too, which is not in the kernel's memory by chance alone.
      await rig.board.mustRun('echo 3 > /proc/sys/vm/drop_caches');
      const running = Promise.all(
        Array.from({ length: 4 }, () => download(link, { bytesPerSecond: 2 * MIB })),
      );
      await sleep(2_000);
      await rig.board.pullStick();
      for (const { body, status } of await running) {
        if (status === 200)
          assert.ok(body.equals(video.subarray(0, body.length)), 'other bytes than the video');
      }
      // The household is told, and clients are sent back to the router by the box itself.
      await waitFor(
        async () => {
          const response = await fetch(link, { redirect: 'manual', signal: AbortSignal.timeout(30_000) });
          await response.body?.cancel();
          return response.status === 302 || null;
        },
        'the box does not send clients away',
        PATIENCE,
      );
      await rig.board.plugStick();
      await waitFor(
        async () => {
          const got = await download(link);
          return (got.status === 200 && sha256(got.body) === sha256(video)) || null;
        },
        'the box does not serve again',
        PATIENCE,
      );
      assert.equal(await rig.board.mustRun('cat /run/agent.pid'), pid, 'the agent was started again');
      const { rssBytes } = await memoryOf(rig.board, AGENT);
      assert.ok(rssBytes < MOST_RSS_BYTES, `${rssBytes} bytes resident`);
    });

    it('serves right bytes only after power cuts in the middle of downloads', async () => {
      const files = new Map<string, Buffer>([['/bbb.mp4', video]]);
      for (let cut = 1; cut <= CUTS; cut++) {
        const path = `/cut-${cut}.bin`;
        const bytes = randomBytes(8 * MIB + cut);
        files.set(path, bytes);
        rig.system.origin.write(path, bytes);
        await rig.system.assign(await rig.system.ingest(site, [path]), [rig]);
        await sleep(Math.random() * 15_000);
        await rig.board.powerOff();
        await rig.board.powerOn();
        await rig.board.untilAgentReady();
      }
      for (const [path, bytes] of files) {
        const got = await waitFor(
          async () => {
            const link = await rig.link(site, path);
            const answer = link === null ? null : await download(link);
            return answer?.status === 200 && answer.failure === null ? answer : null;
          },
          () => `${path} is not served:\n${rig.logs().slice(-3000)}`,
          PATIENCE,
        );
        assert.equal(sha256(got.body), sha256(bytes), path);
      }
    });
  });
}

interface Download {
  status: number;
  body: Buffer;
  /** Why it was cut short, if it was. */
  failure: string | null;
}

/** What came of one request, however far it got; redirects are not followed. */
async function download(url: string, { bytesPerSecond = 0 } = {}): Promise<Download> {
  const parts: Buffer[] = [];
  let status = 0;
  try {
    const response = await fetch(url, { redirect: 'manual', signal: AbortSignal.timeout(180_000) });
    status = response.status;
    for await (const part of response.body ?? []) {
      parts.push(Buffer.from(part));
      if (bytesPerSecond > 0) await sleep((part.length / bytesPerSecond) * 1000);
    }
    return { status, body: Buffer.concat(parts), failure: null };
  } catch (error) {
    return { status, body: Buffer.concat(parts), failure: String(error) };
  }
}

function sha256(bytes: Buffer): string {
  return createHash('sha256').update(bytes).digest('hex');
}
