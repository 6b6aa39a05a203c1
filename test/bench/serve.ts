import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import * as z from 'zod';
import { testCertificate } from '#agent/serve/tls/test-certificate.ts';
import { testPort } from '#test/support/system.ts';
import type { Bench, BenchContext, ServingBox } from './bench.ts';
import { KIB, MIB, pathOf, signedPaths, startAsShipped, startServingBox } from './bench.ts';
import type { Measured } from './measure.ts';
import { cannotPin, measure, median, pinServer } from './measure.ts';
import type { CertificateFiles, Nginx } from './nginx.ts';
import { startNginx } from './nginx.ts';

const SIZES = [
  { name: '64KiB', bytes: 64 * KIB },
  { name: '1MiB', bytes: MIB },
  { name: '64MiB', bytes: 64 * MIB },
];
const CONNECTIONS = [1, 16, 128];
/** Over TLS fewer: what it costs is the encryption, the same for every size above some. */
const SECURE_CASES = [
  { name: '64KiB', bytes: 64 * KIB, connections: 16 },
  { name: '1MiB', bytes: MIB, connections: 16 },
  { name: '1MiB', bytes: MIB, connections: 128 },
];

interface Case {
  name: string;
  bytes: number;
  connections: number;
  secure?: boolean;
}

interface Server {
  name: string;
  port: number;
  securePort: number | null;
  pids: number[];
  paths: (sizeBytes: number, connections: number) => string[];
}

/**
 * The box's content server, as it ships, beside nginx: bytes a second, and CPU seconds for 10^9 bytes. Each case runs on every
 * server in turn, round after round, so that what drifts on the machine drifts for all. `node-bare` is a Node process that
 * sends from memory and does nothing else: what no server written for Node goes below; `node-least` is the same with a
 * token known, compared and counted for.
 */
export const serve: Bench = async (context) => {
  const why = cannotPin();
  if (why !== null) return context.progress(`serve: skipped, ${why}`);
  const folder = mkdtempSync(join(tmpdir(), 'hearth-bench-'));
  const certificate = await writeCertificate(folder);
  const securePort = await testPort();
  const box = await startServingBox(
    SIZES.map((size) => size.bytes),
    {
      HEARTH_TLS_CERT: certificate.cert,
      HEARTH_TLS_KEY: certificate.key,
      HEARTH_TLS_PORT: String(securePort),
    },
  );
  const peers: Nginx[] = [];
  const stop = new AbortController();
  try {
    await startAsShipped(box);
    for (const kind of ['packaged', 'tuned'] as const) {
      const nginx = await startNginx(kind, box.system.origin.root, box.system.directory, certificate);
      if (nginx) peers.push(nginx);
      else context.progress(`serve: without nginx-${kind}, it is not installed`);
    }
    const bare = await startBare(certificate, stop.signal);
    const hearth = ours(box, securePort);
    // The same process, asked with tokens.
    const least = { ...bare, name: 'node-least', paths: hearth.paths };
    const servers = [hearth, ...peers.map(theirs), bare, least];
    for (const server of servers) pinServer(server.pids);
    for (const size of SIZES) {
      for (const connections of CONNECTIONS) await oneCase(context, servers, { ...size, connections });
    }
    for (const secure of SECURE_CASES) await oneCase(context, servers, { ...secure, secure: true });
  } finally {
    stop.abort();
    for (const peer of peers) await peer.stop();
    await box.close();
    rmSync(folder, { recursive: true, force: true });
  }
};

/** A certificate of our own, for the box and its peers. */
export async function writeCertificate(folder: string): Promise<CertificateFiles> {
  const { cert, key } = await testCertificate();
  const files = { cert: join(folder, 'cert.pem'), key: join(folder, 'key.pem') };
  writeFileSync(files.cert, cert);
  writeFileSync(files.key, key);
  return files;
}

function ours(box: ServingBox, securePort: number): Server {
  const agent = box.system.box(0);
  return {
    name: 'hearth',
    port: agent.contentPort,
    securePort,
    pids: [agent.pid],
    paths: (bytes, connections) => signedPaths(box, pathOf(bytes), connections),
  };
}

function theirs(nginx: Nginx): Server {
  const { name, port, securePort, workerPids: pids } = nginx;
  return { name, port, securePort, pids, paths: (bytes) => [pathOf(bytes)] };
}

/** Runs until it is told to stop. */
async function startBare({ cert, key }: CertificateFiles, stop: AbortSignal): Promise<Server> {
  const program = join(import.meta.dirname, 'bare-program.ts');
  const child = spawn(process.execPath, [program, cert, key], { stdio: ['ignore', 'pipe', 'inherit'] });
  const end = () => child.kill('SIGKILL');
  stop.addEventListener('abort', end);
  process.once('exit', end);
  const [line] = await once(createInterface({ input: child.stdout }), 'line');
  const [port = 0, securePort = 0] = z.array(z.int()).parse(JSON.parse(String(line)));
  const paths = (bytes: number) => [pathOf(bytes)];
  return { name: 'node-bare', port, securePort, pids: [child.pid ?? 0], paths };
}

async function oneCase(
  { measureMs, rounds, emit, progress }: BenchContext,
  servers: Server[],
  { secure = false, connections, ...size }: Case,
): Promise<void> {
  const name = `${secure ? 'https' : 'http'} ${size.name} c${connections}`;
  progress(`serve: ${name}`);
  const runs = new Map<string, Measured[]>(servers.map((server) => [server.name, []]));
  for (let round = 0; round < rounds; round++) {
    for (const server of servers) {
      const plan = {
        port: secure ? (server.securePort ?? 0) : server.port,
        secure,
        host: 'bench.localhost',
        paths: server.paths(size.bytes, connections),
        connections,
        warmupMs: 250,
        measureMs,
        expectStatus: 200,
        expectBytes: size.bytes,
      };
      runs.get(server.name)?.push(await measure(plan, server.pids));
    }
  }
  const rate = (server: string) =>
    median((runs.get(server) ?? []).map((run) => run.bytes / 1e3 / run.measuredMs));
  const cost = (server: string) =>
    median((runs.get(server) ?? []).map((run) => (run.serverCpuSeconds / run.bytes) * 1e9));
  const base = { bench: 'serve', case: name };
  emit({ ...base, value: rate('hearth'), unit: 'MB/s', peer: null, ratio: null });
  emit({ ...base, value: cost('hearth'), unit: 'CPU s/GB', peer: null, ratio: null });
  for (const { name: peer } of servers.slice(1)) {
    emit({ ...base, value: rate('hearth'), unit: 'MB/s', peer, ratio: rate('hearth') / rate(peer) });
    // Bytes for a second of the server's CPU: the figure that decides what a small board can do.
    emit({ ...base, value: cost('hearth'), unit: 'CPU s/GB', peer, ratio: cost(peer) / cost('hearth') });
  }
}
