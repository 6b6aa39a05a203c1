import { spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Board } from '#firmware/qemu/board.ts';
import { messageOf } from '#protocol/errors.ts';
import { BoardSystem, memoryOf, mostResident } from '#test/qemu/board-system.ts';
import { mintFor } from '#test/support/minting.ts';
import type { Bench, BenchContext } from './bench.ts';
import { MIB, pathOf } from './bench.ts';
import { measure } from './measure.ts';

/** Idle: the collector's first rounds and the check at start are over. */
const SETTLE_MS = 15_000;
const BARE_SERVER = "require('http').createServer().listen(9)";
const HASHING = `const h=require('crypto');const b=Buffer.alloc(1048576,7);let n=0;const t=process.hrtime.bigint();
let d=0;while(d<3){h.createHash('sha256').update(b).digest();n++;d=Number(process.hrtime.bigint()-t)/1e9}console.log(n*1048576/d)`;

/**
 * The agent on an emulated Orange Pi PC, with the memory of the larger and the smaller board. Memory is what it
 * would be there; times and rates are the emulator's, several times below the board's.
 */
export const arm: Bench = async (context) => {
  if (spawnSync('qemu-system-arm', ['--version']).status !== 0) {
    return context.progress('arm: skipped, needs qemu-system-arm (apt-get install qemu-system-arm)');
  }
  for (const memoryMib of [512, 1024]) await onBoard(context, memoryMib);
};

async function onBoard({ emit, progress, measureMs }: BenchContext, memoryMib: number): Promise<void> {
  const say = (line: string) => progress(`arm ${memoryMib} MiB: ${line}`);
  const report = (name: string, value: number, unit: string) =>
    emit({ bench: 'arm', case: `${memoryMib} MiB, ${name}`, value, unit, peer: null, ratio: null });
  const rss = (name: string, bytes: number) => report(name, bytes / 1e6, 'MB RSS');
  say('starts');
  const rig = await BoardSystem.start({ board: 'orangepi-pc', memoryMib, startsAgent: false });
  const { board } = rig;
  try {
    say('Node alone');
    await board.mustRun(
      `/usr/lib/hearth/node -e "${BARE_SERVER}" > /dev/null 2>&1 & echo $! > /run/bare.pid`,
    );
    await board.mustRun('until netstat -ltn | grep -q ":9 "; do sleep 1; done', 240_000);
    await sleep(SETTLE_MS);
    rss('Node alone', (await memoryOf(board, '$(cat /run/bare.pid)')).rssBytes);
    await board.mustRun('kill $(cat /run/bare.pid)');

    const agent = '$(agent-pid)';
    const idle = async (name: string) => {
      await sleep(SETTLE_MS);
      const found = await memoryOf(board, agent);
      rss(name, found.rssBytes);
      rss(`${name}, not of files`, found.anonymousBytes);
    };
    say('the agent, not paired');
    await board.startAgent();
    await idle('idle, not paired');
    const [started = 0, ready = 0] = (await board.mustRun('cat /run/agent.started /run/agent.ready'))
      .trim()
      .split('\n')
      .map(Number);
    report('start to ready', ready - started, 's (emulated)');

    say('the agent, paired');
    await rig.pair();
    const sizes = [64 * 1024, MIB, 16 * MIB];
    const site = await rig.addSite();
    for (const size of sizes) rig.system.origin.write(pathOf(size), randomBytes(size));
    await rig.hold(site, sizes.map(pathOf));
    await idle('idle after downloads');
    await board.stopAgent();
    await board.startAgent();
    await rig.untilRoutable();
    await idle('idle, paired, holds 17 MB');

    const scope = { boxId: rig.id, siteId: site.id, prefix: '/bench/', maxBytes: 2 ** 47 };
    for (const [size, connections] of [
      [MIB, 16],
      [16 * MIB, 16],
      [16 * MIB, 64],
    ] as const) {
      const name = `serving ${size / MIB}MiB c${connections}`;
      say(name);
      const token = () => mintFor(rig.system, { ...scope, expiresAtMs: Date.now() + 3_600_000 });
      const paths = Array.from({ length: connections }, () => `/c/${token()}/${site.id}${pathOf(size)}`);
      const plan = {
        port: rig.contentPort,
        host: 'bench.localhost',
        paths,
        connections,
        warmupMs: 2_000,
        measureMs: Math.max(20_000, measureMs * 3),
        expectStatus: 200,
        expectBytes: size,
      };
      let rate = 0;
      const most = await mostResident(board, agent, async () => {
        rate = await steady(say, board, async () => {
          await rig.untilLinked(site, pathOf(size));
          const { bytes, measuredMs } = await measure(plan, []);
          return bytes / measuredMs / 1000;
        });
      });
      rss(name, most);
      if (!Number.isNaN(rate)) report(name, rate, 'MB/s (emulated)');
    }
    await idle('idle after serving');
    await board.stopAgent();
    say('hashing');
    const hashed = await board.mustRun(`/usr/lib/hearth/node -e "${HASHING.replaceAll('\n', '')}"`, 60_000);
    report('SHA-256', Number(hashed) / 1e6, 'MB/s (emulated)');
  } catch (error) {
    console.error(rig.logs());
    throw error;
  } finally {
    await rig.close();
  }
}

/**
 * Tries again, then gives up with NaN: an emulator that gets no processor for seconds makes its stick look as if it
 * did not answer, and clients are sent away. What the box said last is told.
 */
async function steady(
  say: (line: string) => void,
  board: Board,
  work: () => Promise<number>,
): Promise<number> {
  for (let triesLeft = 3; triesLeft >= 0; triesLeft--) {
    try {
      return await work();
    } catch (error) {
      say(
        `${triesLeft > 0 ? 'again' : 'given up'}: ${messageOf(error).split('\n')[0]}\n${board.serial.log(3)}`,
      );
    }
  }
  return Number.NaN;
}
