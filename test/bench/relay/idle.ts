import type { ChildProcess } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { relayedContentUrl } from '#protocol/relay.ts';
import type { RelayRig } from '#test/relay/fixture.ts';
import { relayRig } from '#test/relay/fixture.ts';
import { testPort } from '#test/support/system.ts';
import type { Bench, BenchContext } from '../bench.ts';
import { cannotPin, cpuSeconds, pinServer, rssBytes } from '../measure.ts';
import type { Boxes } from './boxes.ts';
import { dialBoxes, untilKnown } from './boxes.ts';
import { ended, sshReverse } from './peers.ts';

/** In steps, so that a machine that is too small for all of them still says something. */
const STEPS = [1_000, 10_000];
/** What a burst of handshakes leaves is given time to go, and then idleness is measured, ms. */
const SETTLE_MS = 10_000;
const IDLE_MS = 60_000;
/** Boxes one process plays. */
const PER_PROCESS = 1_000;
const SSH_TUNNELS = 50;
const ASK_AT_ONCE = 32;

/**
 * Boxes at one relay that say nothing: memory, what it costs to take them in, whether they are still there and answer,
 * and how they come back, all at once, when the relay was killed and starts again. Beside it what idle tunnels of
 * `ssh -R` take.
 */
export const relayIdle: Bench = async (context) => {
  const why = cannotPin();
  if (why !== null) return context.progress(`relay: skipped, ${why}`);
  const closers: (() => Promise<void> | void)[] = [];
  const folder = mkdtempSync(join(tmpdir(), 'hearth-bench-relay-'));
  closers.push(() => rmSync(folder, { recursive: true, force: true }));
  try {
    await besideSsh(context, folder);
    await idleBoxes(context, await relayRig({ after: (close) => closers.push(close) }), folder);
  } finally {
    for (const close of closers.reverse()) await close();
  }
};

/** More and more of them: what each step was is kept, whatever comes after. */
async function idleBoxes({ emit, progress }: BenchContext, rig: RelayRig, folder: string): Promise<void> {
  const running: ChildProcess[] = [];
  const env = {
    HEARTH_RELAY_TUNNEL_PORT: String(await testPort()),
    HEARTH_RELAY_PORT: String(await testPort()),
  };
  let relay = await rig.relayProcess(env);
  const all: Boxes[] = [];
  const states = async () => Promise.all(all.map(({ state }) => state()));
  const lost = async () => (await states()).reduce((sum, { ended: times }) => sum + times, 0);
  const refused = async () =>
    (await states()).reduce((sum, { failed }) => sum + Object.values(failed).reduce((a, b) => a + b, 0), 0);
  try {
    pinServer([relay.pid]);
    const empty = rssBytes([relay.pid]);
    let connected = 0;
    for (const count of STEPS) {
      const say = (value: number, unit: string) => emit(figure(`${count} idle boxes`, value, unit));
      progress(`relay: certificates for ${count} boxes`);
      let dialAtMs = performance.now();
      const used = cpuSeconds([relay.pid]);
      const refusedBefore = await refused();
      all.push(
        await dialBoxes(rig, {
          tunnelUrl: relay.tunnelUrl,
          securePort: null,
          folder,
          running,
          count: count - connected,
          processes: Math.ceil((count - connected) / PER_PROCESS),
          onCertificates: () => {
            dialAtMs = performance.now();
            progress('relay: they dial');
          },
        }),
      );
      await untilKnown(rig, count);
      say((performance.now() - dialAtMs) / 1e3, `s until ${count - connected} more are known`);
      say(((cpuSeconds([relay.pid]) - used) / (count - connected)) * 1e3, 'CPU ms to take one in');
      say((await refused()) - refusedBefore, 'dials that failed');
      connected = count;
      await sleep(SETTLE_MS);
      const [endedBefore, idleFrom] = [await lost(), cpuSeconds([relay.pid])];
      await sleep(IDLE_MS);
      say(((cpuSeconds([relay.pid]) - idleFrom) / IDLE_MS) * 60e3, 'CPU s a minute, idle');
      const after = rssBytes([relay.pid]);
      say((after - empty) / count / 1e3, 'KB RSS each');
      say(after / 1e6, 'MB RSS');
      say((await lost()) - endedBefore, 'connections lost in that minute');
      progress(`relay: ${count} are asked`);
      say(
        await silent(
          relay.publicUrl,
          all.flatMap(({ ids }) => ids),
        ),
        'boxes that did not answer',
      );
    }
    progress('relay: it is killed, and starts again');
    await relay.program.kill();
    const refusedBefore = await refused();
    relay = await rig.relayProcess(env);
    pinServer([relay.pid]);
    const upAtMs = performance.now();
    await untilKnown(rig, connected);
    const say = (value: number, unit: string) => emit(figure(`${connected} boxes come back`, value, unit));
    say((performance.now() - upAtMs) / 1e3, 's until all are known');
    say((await refused()) - refusedBefore, 'dials that failed');
    say(rssBytes([relay.pid]) / 1e6, 'MB RSS');
    say(
      await silent(
        relay.publicUrl,
        all.flatMap(({ ids }) => ids),
      ),
      'boxes that did not answer',
    );
  } finally {
    for (const child of running) await ended(child);
    await relay.program.stop();
  }
}

function figure(name: string, value: number, unit: string) {
  return { bench: 'relay-idle', case: name, value, unit, peer: null, ratio: null };
}

/** Asks each box through the relay. @returns how many did not answer */
async function silent(publicUrl: string, ids: string[]): Promise<number> {
  const queue = [...ids];
  let count = 0;
  await Promise.all(
    Array.from({ length: ASK_AT_ONCE }, async () => {
      for (let id = queue.pop(); id; id = queue.pop()) {
        const answer = await fetch(`${relayedContentUrl(publicUrl, id)}/7`).catch(() => null);
        const bytes = (await answer?.arrayBuffer().catch(() => null))?.byteLength;
        if (answer?.status !== 200 || bytes !== 7) count++;
      }
    }),
  );
  return count;
}

async function besideSsh({ emit, progress }: BenchContext, folder: string): Promise<void> {
  const server = createServer((_, response) => response.end());
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const running: ChildProcess[] = [];
  const { port } = server.address() as AddressInfo;
  try {
    const ssh = await sshReverse({ port, securePort: port }, 0, folder, running);
    if (!ssh) return progress('relay: without ssh -R: apt-get install openssh-server');
    progress(`relay: ${SSH_TUNNELS} idle tunnels, ssh -R`);
    const before = pssBytes(ssh.pids());
    for (let n = 0; n < SSH_TUNNELS; n++) await ssh.dial();
    const bytes = (pssBytes(ssh.pids()) - before) / SSH_TUNNELS;
    emit(figure(`${SSH_TUNNELS} idle tunnels, ssh -R`, bytes / 1e3, 'KB each'));
    await ssh.stop();
  } finally {
    for (const child of running) await ended(child);
    server.close();
    server.closeAllConnections();
  }
}

/** What processes take of memory, what they share with others by halves, bytes. */
function pssBytes(pids: number[]): number {
  let total = 0;
  for (const pid of pids) {
    const text = readFileSync(`/proc/${pid}/smaps_rollup`, 'utf8');
    total += Number(/^Pss:\s+(\d+) kB/m.exec(text)?.[1] ?? 0) * 1024;
  }
  return total;
}
