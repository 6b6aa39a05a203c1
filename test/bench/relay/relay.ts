import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import net from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import tls from 'node:tls';
import { testCertificate } from '#agent/serve/tls/test-certificate.ts';
import type { RelayRig } from '#test/relay/fixture.ts';
import { relayRig } from '#test/relay/fixture.ts';
import { testPort } from '#test/support/system.ts';
import { findTool } from '#test/support/tools.ts';
import type { Bench, BenchContext } from '../bench.ts';
import { KIB, MIB } from '../bench.ts';
import type { Measured } from '../measure.ts';
import { cannotPin, measure, median, pinServer, rssBytes } from '../measure.ts';
import { startNginx } from '../nginx.ts';
import { dialBoxes, untilKnown } from './boxes.ts';
import type { Target, Way } from './peers.ts';
import { besideTheLoad, ended, longLine, nginxStream, sshReverse } from './peers.ts';

const DOMAIN = 'boxes.bench.test';
const SIZES = [KIB, MIB, 64 * MIB];
const CASES = [
  { name: '1KiB c1', bytes: KIB, connections: 1 },
  { name: '1MiB c16', bytes: MIB, connections: 16 },
  { name: '64MiB c1', bytes: 64 * MIB, connections: 1 },
];
/** Of each round trip between box and relay, added, ms. */
const ROUND_TRIPS_MS = [0, 40];
const IDLE_CLIENTS = 200;

interface Ours extends Way {
  boxId: string;
  label: string;
}

/**
 * The relay beside what people use for this: bytes a second, CPU seconds of the relay for 10^9 bytes, what it adds to
 * the time of a small answer, and memory; with the box near and 40 ms away.
 */
export const relay: Bench = async (context) => {
  const why = cannotPin();
  if (why !== null) return context.progress(`relay: skipped, ${why}`);
  const closers: (() => Promise<void> | void)[] = [];
  const folder = mkdtempSync(join(tmpdir(), 'hearth-bench-relay-'));
  closers.push(() => rmSync(folder, { recursive: true, force: true }));
  try {
    const rig = await relayRig({ after: (close) => closers.push(close) });
    for (const roundTripMs of ROUND_TRIPS_MS) await besidePeers(context, rig, folder, roundTripMs);
  } finally {
    for (const close of closers.reverse()) await close();
  }
};

async function besidePeers(
  context: BenchContext,
  rig: RelayRig,
  folder: string,
  roundTripMs: number,
): Promise<void> {
  const { progress, emit } = context;
  const running: ChildProcess[] = [];
  const { cert, key } = await testCertificate();
  const files = { cert: join(folder, 'cert.pem'), key: join(folder, 'key.pem') };
  writeFileSync(files.cert, cert);
  writeFileSync(files.key, key);
  const root = join(folder, `root-${roundTripMs}`);
  const nginxProgram = findTool('nginx');
  try {
    mkdirSync(root);
    for (const size of SIZES) writeFileSync(join(root, String(size)), Buffer.alloc(size, 7));
    const origin = await startNginx('tuned', root, join(root, '..'), files);
    if (!origin || nginxProgram === null)
      return progress('relay: skipped, nginx serves as the box; install it');
    const target: Target = { port: origin.port, securePort: origin.securePort ?? 0 };
    besideTheLoad(origin.workerPids);
    const delayMs = roundTripMs / 2;
    const ours = await hearth(rig, target, delayMs, folder, running);
    const stream = await nginxStream(nginxProgram, target, delayMs, folder, running);
    if (!stream) progress('relay: without nginx-stream: apt-get install libnginx-mod-stream');
    const ssh = await sshReverse(target, delayMs, folder, running);
    if (!ssh) progress('relay: without ssh -R: apt-get install openssh-server');
    const direct: Way = {
      name: 'direct',
      port: await longLine(target.port, delayMs, running),
      securePort: await longLine(target.securePort, delayMs, running),
      pids: () => [],
      stop: async () => undefined,
    };
    const peers = [stream, ssh].filter((way) => way !== null);
    for (const secure of [false, true]) {
      for (const one of CASES) await oneCase(context, ours, peers, direct, { ...one, secure, roundTripMs });
    }
    if (roundTripMs === 0) {
      for (const way of [ours, ...peers]) {
        progress(`relay: ${IDLE_CLIENTS} idle clients, ${way.name}`);
        const bytes = await idleClients(way, way === ours ? serverNameOf(ours) : 'localhost');
        emit(figure(`idle client, ${way.name}`, bytes / 1e3, 'KB RSS'));
      }
    }
    for (const way of [ours, ...peers]) await way.stop();
    await origin.stop();
  } finally {
    for (const child of running) await ended(child);
  }
}

function figure(name: string, value: number, unit: string) {
  return { bench: 'relay', case: name, value, unit, peer: null, ratio: null };
}

function serverNameOf({ label }: Ours): string {
  return `${label}.${DOMAIN}`;
}

/** Our relay in a process of its own, and one box at it. */
async function hearth(
  rig: RelayRig,
  target: Target,
  delayMs: number,
  folder: string,
  running: ChildProcess[],
): Promise<Ours> {
  const securePort = await testPort();
  const program = await rig.relayProcess({
    HEARTH_BOX_DOMAIN: DOMAIN,
    HEARTH_RELAY_TLS_PORT: String(securePort),
  });
  const tunnelPort = Number(new URL(program.tunnelUrl).port);
  const { ids } = await dialBoxes(rig, {
    count: 1,
    tunnelUrl: `tls://127.0.0.1:${await longLine(tunnelPort, delayMs, running)}`,
    securePort: target.securePort,
    folder,
    running,
  });
  const boxId = ids[0] ?? '';
  await untilKnown(rig, 1);
  const [row] = await rig.database.query('SELECT name_label FROM boxes WHERE id = $1', [boxId]);
  return {
    name: 'hearth',
    boxId,
    label: String(row?.name_label),
    port: Number(new URL(program.publicUrl).port),
    securePort,
    pids: () => [program.pid],
    stop: async () => {
      await program.program.stop();
    },
  };
}

async function oneCase(
  { measureMs, rounds, emit, progress }: BenchContext,
  ours: Ours,
  peers: Way[],
  direct: Way,
  {
    name,
    bytes,
    connections,
    secure,
    roundTripMs,
  }: { name: string; bytes: number; connections: number; secure: boolean; roundTripMs: number },
): Promise<void> {
  const title = `${secure ? 'https' : 'http'} ${name}, ${roundTripMs} ms`;
  progress(`relay: ${title}`);
  const runs = new Map<Way, Measured[]>();
  for (let round = 0; round < rounds; round++) {
    for (const way of [ours, ...peers, direct]) {
      const pids = way.pids();
      pinServer(pids);
      const plan = {
        port: secure ? way.securePort : way.port,
        secure,
        serverName: way === ours ? serverNameOf(ours) : 'localhost',
        host: 'bench.localhost',
        paths: [way === ours && !secure ? `/b/${ours.boxId}/${bytes}` : `/${bytes}`],
        connections,
        warmupMs: 500 + 10 * roundTripMs,
        measureMs,
        expectStatus: 200,
        expectBytes: bytes,
      };
      const list = runs.get(way) ?? [];
      list.push(await measure(plan, pids));
      runs.set(way, list);
    }
  }
  const of = (way: Way, value: (run: Measured) => number) => median((runs.get(way) ?? []).map(value));
  const report = (unit: string, value: (run: Measured) => number, more: boolean, less = 0) => {
    const mine = of(ours, value) - less;
    emit(figure(title, mine, unit));
    for (const peer of peers) {
      const theirs = of(peer, value) - less;
      emit({ ...figure(title, mine, unit), peer: peer.name, ratio: more ? mine / theirs : theirs / mine });
    }
  };
  if (bytes === KIB) {
    // Beside no relay at all: what it adds.
    report(
      'added p50 ms',
      (run) => run.p50Ms,
      false,
      of(direct, (run) => run.p50Ms),
    );
    report('p99 ms', (run) => run.p99Ms, false);
  } else {
    report('MB/s', (run) => run.bytes / 1e3 / run.measuredMs, true);
    report('CPU s/GB', (run) => (run.serverCpuSeconds / run.bytes) * 1e9, false);
  }
}

/** What each of many clients costs that has shaken hands and says nothing, bytes. */
async function idleClients(way: Way, servername: string): Promise<number> {
  const before = rssBytes(way.pids());
  const sockets = await Promise.all(
    Array.from({ length: IDLE_CLIENTS }, async (_, n) => {
      const raw = net.connect({
        port: way.securePort,
        host: '127.0.0.1',
        // No client may have all of a relay's connections.
        localAddress: `127.0.1.${1 + (n % 20)}`,
      });
      const socket = tls.connect({ socket: raw, servername, rejectUnauthorized: false });
      await once(socket, 'secureConnect');
      socket.on('error', () => undefined);
      return socket;
    }),
  );
  await sleep(2_000);
  const after = rssBytes(way.pids());
  for (const socket of sockets) socket.destroy();
  return (after - before) / IDLE_CLIENTS;
}
