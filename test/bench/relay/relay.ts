import type { ChildProcess } from 'node:child_process';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import net from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import tls from 'node:tls';
import { makeKeyAndCsr } from '#agent/identity/csr.ts';
import { testCertificate } from '#agent/serve/tls/test-certificate.ts';
import { waitFor } from '#fleet/client/fleet-api.ts';
import { addBox } from '#fleet/testing/fleet-database.ts';
import type { RelayRig } from '#test/relay/fixture.ts';
import { relayRig } from '#test/relay/fixture.ts';
import { testPort } from '#test/support/system.ts';
import { findTool } from '#test/support/tools.ts';
import type { Bench, BenchContext } from '../bench.ts';
import { KIB, MIB } from '../bench.ts';
import type { Measured } from '../measure.ts';
import { cannotPin, cpuSeconds, measure, median, pinServer, rssBytes } from '../measure.ts';
import { startNginx } from '../nginx.ts';
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
const SSH_TUNNELS = 20;
/** In steps, so that a machine that is too small for all of them still says something. */
const IDLE_BOXES = [1_000, 2_000, 5_000, 10_000];
/** What a burst of handshakes leaves is given time to go, and then idleness is measured, ms. */
const SETTLE_MS = 10_000;
const IDLE_MS = 10_000;

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

/** Boxes at one relay that say nothing: memory, and what it costs to take them in. */
export const relayIdle: Bench = async (context) => {
  const closers: (() => Promise<void> | void)[] = [];
  const folder = mkdtempSync(join(tmpdir(), 'hearth-bench-relay-'));
  closers.push(() => rmSync(folder, { recursive: true, force: true }));
  try {
    await idleBoxes(context, await relayRig({ after: (close) => closers.push(close) }), folder);
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
      if (ssh) {
        progress(`relay: ${SSH_TUNNELS} idle tunnels, ssh -R`);
        const before = pssBytes(ssh.pids());
        for (let n = 0; n < SSH_TUNNELS; n++) await ssh.dial();
        emit(figure('idle box, ssh-R', (pssBytes(ssh.pids()) - before) / SSH_TUNNELS / 1e3, 'KB'));
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
  const [boxId = ''] = await dialBoxes(rig, {
    count: 1,
    tunnelUrl: `tls://127.0.0.1:${await longLine(tunnelPort, delayMs, running)}`,
    securePort: target.securePort,
    folder,
    running,
    atOnce: 1,
  });
  besideTheLoad(running.flatMap(({ pid }) => pid ?? []));
  await known(rig, 1);
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

/** What processes take of memory, what they share with others by halves, bytes. */
function pssBytes(pids: number[]): number {
  let total = 0;
  for (const pid of pids) {
    const text = readFileSync(`/proc/${pid}/smaps_rollup`, 'utf8');
    total += Number(/^Pss:\s+(\d+) kB/m.exec(text)?.[1] ?? 0) * 1024;
  }
  return total;
}

/** Boxes that are connected and say nothing, more and more of them: what each step was is kept, whatever comes after. */
async function idleBoxes(context: BenchContext, rig: RelayRig, folder: string): Promise<void> {
  const { emit, progress } = context;
  const running: ChildProcess[] = [];
  const program = await rig.relayProcess();
  try {
    const empty = rssBytes([program.pid]);
    let connected = 0;
    for (const count of IDLE_BOXES) {
      progress(`relay: certificates for ${count} idle boxes`);
      let dialAtMs = performance.now();
      const usedBefore = cpuSeconds([program.pid]);
      await dialBoxes(rig, {
        tunnelUrl: program.tunnelUrl,
        securePort: null,
        folder,
        running,
        count: count - connected,
        atOnce: 32,
        processes: 2,
        onCertificates: () => {
          dialAtMs = performance.now();
          progress('relay: they dial');
        },
      });
      const connectedMs = performance.now() - dialAtMs;
      await known(rig, count);
      const knownMs = performance.now() - dialAtMs;
      const acceptSeconds = cpuSeconds([program.pid]) - usedBefore;
      await sleep(SETTLE_MS);
      const idleFrom = cpuSeconds([program.pid]);
      await sleep(IDLE_MS);
      const idleSeconds = cpuSeconds([program.pid]) - idleFrom;
      const after = rssBytes([program.pid]);
      const say = (value: number, unit: string) => emit(figure(`${count} idle boxes`, value, unit));
      say((after - empty) / count / 1e3, 'KB RSS each');
      say(after / 1e6, 'MB RSS');
      say(connectedMs / 1e3, `s until ${count - connected} more connected`);
      say(knownMs / 1e3, 's until the fleet knows');
      say((acceptSeconds / (count - connected)) * 1e3, 'CPU ms to accept one');
      say((idleSeconds / (IDLE_MS / 1e3)) * 100, '% of a core, idle');
      connected = count;
    }
  } finally {
    for (const child of running) await ended(child);
    await program.program.stop();
  }
}

interface DialPlan {
  count: number;
  tunnelUrl: string;
  securePort: number | null;
  folder: string;
  running: ChildProcess[];
  atOnce: number;
  processes?: number;
  onCertificates?: () => void;
}

/** Enrols boxes and has them dial; one key for all of them, since none is to be trusted. @returns their ids */
async function dialBoxes(rig: RelayRig, plan: DialPlan): Promise<string[]> {
  const { count, processes = 1, running, folder, tunnelUrl, securePort, atOnce } = plan;
  const { privateKey, csr } = await makeKeyAndCsr();
  const boxes: { id: string; certificate: string }[] = [];
  let keyFingerprint: Buffer | null = null;
  for (let n = 0; n < count; n++) {
    const id = await addBox(rig.database.db);
    const signed = await rig.keys.ca.signBox(csr, id);
    keyFingerprint = signed.keyFingerprint;
    boxes.push({ id, certificate: signed.certificatePem });
  }
  await rig.database.query('UPDATE boxes SET key_fingerprint = $1 WHERE id = ANY($2)', [
    keyFingerprint,
    boxes.map(({ id }) => id),
  ]);
  plan.onCertificates?.();
  const each = Math.ceil(count / processes);
  await Promise.all(
    Array.from({ length: processes }, async (_, n) => {
      const file = join(folder, `boxes-${performance.now()}-${n}.json`);
      const mine = boxes.slice(n * each, (n + 1) * each);
      writeFileSync(
        file,
        JSON.stringify({
          tunnelUrl,
          securePort,
          caCertificate: rig.keys.ca.certificatePem,
          privateKey,
          boxes: mine,
          atOnce,
        }),
      );
      const script = join(import.meta.dirname, 'boxes-program.ts');
      const child = spawn(process.execPath, [script, file], {
        stdio: ['ignore', 'pipe', 'inherit'],
      });
      running.push(child);
      const [text] = await once(child.stdout, 'data');
      JSON.parse(String(text));
    }),
  );
  return boxes.map(({ id }) => id);
}

/** Waits until the fleet counts so many boxes as connected. */
async function known(rig: RelayRig, count: number): Promise<void> {
  await waitFor(
    async () => {
      const [row] = await rig.database.query('SELECT count(*)::int AS n FROM relay_tunnels');
      return Number(row?.n) >= count || null;
    },
    'the boxes are not connected',
    { timeoutMs: 600_000 },
  );
}
