import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, afterEach, before, describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { waitFor } from '#fleet/client/fleet-api.ts';
import { prepareVideo } from '#local/video.ts';
import type { Site } from '#protocol/http-fleet.ts';
import type { GuestMemory } from './board-system.ts';
import { BoardSystem, memoryOf } from './board-system.ts';
import { CHOSEN, needsBoard, WHOLE_BOARD } from './chosen.ts';
import { download, RestlessClient, sha256 } from './download.ts';

const MIB = 1024 * 1024;
/** What the agent may take on a 512 MB board. */
const MOST_RSS_BYTES = 96e6;
const PATIENCE = { timeoutMs: 480_000 };
const AGENT = '$(agent-pid)';

const needs = new Map<string, { skip?: string }>();
for (const board of CHOSEN.boards) needs.set(board, await needsBoard(board));

for (const board of CHOSEN.boards) {
  const whole = !CHOSEN.quick || board === WHOLE_BOARD;
  const image = CHOSEN.image;
  const memoryMib = image === undefined || board !== 'orangepi-pc' ? 512 : 1024;
  const options = { timeout: CHOSEN.timeoutMs, ...needs.get(board) };
  describe(`the installed package on an emulated ${board} with ${memoryMib} MB`, options, () => {
    let rig: BoardSystem;
    let site: Site;
    let video: Buffer;
    const run = (command: string, timeoutMs?: number) => rig.board.mustRun(command, timeoutMs);
    before(async () => {
      // As most boards start: nothing has told it the time yet.
      rig = await BoardSystem.start({ board, memoryMib, image, clockMs: null });
    });
    afterEach((context) => {
      if ('passed' in context && !context.passed) console.error(rig?.logs());
    });
    after(async () => {
      await rig?.close();
    });

    it('starts by its own files as its own user, finds its stick, and enrols while its clock says 1970', async () => {
      await rig.board.untilAgentReady();
      await rig.pair();
      assert.match(await run('date -u +%Y'), /^1970$/m);
      assert.match(await run(`cat /proc/${AGENT}/status`), /^Uid:\s+790\s+790\s+790\s+790$/m);
      assert.match(
        await run('ls /etc/rc.d /etc/uci-defaults; cat /proc/sys/net/ipv4/tcp_wmem'),
        memoryMib === 512
          ? /^S95hearth\n[\s\S]*^4096\s+16384\s+262144$/m
          : /^S95hearth\n[\s\S]*^4096\s+16384\s+1048576$/m,
      );
      assert.doesNotMatch(await run('ls /etc/uci-defaults'), /90-hearth/);
      const environment = await run(`tr '\\0' '\\n' < /proc/${AGENT}/environ`);
      assert.match(environment, /^HEARTH_LAUNCH=packaged$/m, 'by its launcher');
      if (image === undefined)
        assert.match(environment, /^HEARTH_UPDATE_ROOT=\/usr\/lib\/hearth\/root\.json$/m);
      // Given to the agent's user by the init script, as it was mounted by hotplug.
      assert.match(
        await run('grep "^/dev/sd" /proc/mounts; ls -nd /mnt/sd*'),
        /^\/dev\/sda1 \/mnt\/sda1 ext4 [\s\S]*^drwxrwxr-t\s+\d+\s+0\s+790\s/m,
      );
      const stick = await run('ls -na /mnt/sda1');
      assert.match(stick, /^-rw\S+\s+\d+\s+790\s.* \.hearth-disk\.json$/m);
      site = await rig.addSite();
    });

    it('caches the real video on its stick and serves it whole, in less than 96 MB', async (t) => {
      video = readFileSync(join((await prepareVideo(rig.system.origin.root)).root, 'bbb.mp4'));
      await rig.hold(site, ['/bbb.mp4']);
      const afterDownload = await memoryOf(rig.board, AGENT);
      const got = await download(await rig.untilLinked(site, '/bbb.mp4'));
      assert.equal(got.failure, null);
      assert.equal(sha256(got.body), sha256(video));
      const stored = await run('du -sk /mnt/sda1', 60_000);
      assert.ok(Number(/^(\d+)\t/m.exec(stored)?.[1]) * 1024 > video.length, stored);
      t.diagnostic(`after the download ${told(afterDownload)}`);
      const memory = await memoryOf(rig.board, AGENT);
      t.diagnostic(`after serving ${told(memory)}`);
      // At no moment since it started: no time is given to settle.
      assert.ok(memory.mostBytes < MOST_RSS_BYTES, told(memory));
    });

    if (!whole) return;

    it('goes on when its clock leaps from 1970 to now', async () => {
      const now = new Date();
      await run(`date -u -s @${Math.floor(now.getTime() / 1000)}`);
      assert.match(await run('date -u +%Y'), new RegExp(`^${now.getUTCFullYear()}$`, 'm'));
      await rig.untilRoutable();
      const got = await download(await rig.untilLinked(site, '/bbb.mp4'));
      assert.equal(sha256(got.body), sha256(video));
    });

    it('gives no wrong byte when its stick is pulled under load, and serves again when it is back', async (t) => {
      const pid = await run('agent-pid');
      const link = await rig.untilLinked(site, '/bbb.mp4');
      // From the stick, not from what the kernel still has of it.
      await run('echo 3 > /proc/sys/vm/drop_caches');
      const running = Array.from({ length: 4 }, () => download(link, { bytesPerSecond: 2 * MIB }));
      await sleep(2_000);
      await rig.board.pullStick();
      for (const { body, status } of await Promise.all(running)) {
        if (status === 200)
          assert.ok(body.equals(video.subarray(0, body.length)), 'other bytes than the video');
      }
      // Clients are sent back to the router by the box itself.
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
          const again = await rig.link(site, '/bbb.mp4');
          const got = again === null ? null : await download(again);
          return (got?.status === 200 && sha256(got.body) === sha256(video)) || null;
        },
        'the box does not serve again',
        PATIENCE,
      );
      assert.equal(await run('agent-pid'), pid, 'the agent was started again');
      const memory = await memoryOf(rig.board, AGENT);
      t.diagnostic(told(memory));
      assert.ok(memory.mostBytes < MOST_RSS_BYTES, told(memory));
    });

    it(`serves nothing wrong while the power is cut ${CHOSEN.cuts} times`, async (t) => {
      const files = new Map<string, Buffer>([['/bbb.mp4', video]]);
      const client = new RestlessClient(files, (path) => rig.link(site, path));
      try {
        for (let cut = 1; cut <= CHOSEN.cuts; cut++) {
          const path = `/cut-${cut}.bin`;
          const bytes = randomBytes(8 * MIB + cut);
          files.set(path, bytes);
          rig.system.origin.write(path, bytes);
          await rig.system.assign(await rig.system.ingest(site, [path]), [rig]);
          await sleep(Math.random() * 15_000);
          await rig.board.powerOff();
          // Every second time without the time.
          await rig.board.powerOn(cut % 2 === 0 ? null : undefined);
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
      } finally {
        await client.stop();
      }
      t.diagnostic(`a client was given ${client.answers} answers with ${client.bytes} bytes meanwhile`);
      assert.deepEqual(client.wrong, []);
    });
  });
}

function told({ rssBytes, mostBytes, anonymousBytes, fileBytes }: GuestMemory): string {
  const mb = (bytes: number) => (bytes / 1e6).toFixed(1);
  return `${mb(rssBytes)} MB resident: ${mb(anonymousBytes)} its own, ${mb(fileBytes)} of files; at most ${mb(mostBytes)}`;
}
