import { randomBytes } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { cpus, tmpdir } from 'node:os';
import { join } from 'node:path';
import { AGENT_ENVIRONMENT, buildAgent } from '#agent/build.ts';
import { waitFor } from '#fleet/client/fleet-api.ts';
import type { Site } from '#protocol/http-fleet.ts';
import type { TestBox } from '#test/support/box.ts';
import { mintFor } from '#test/support/minting.ts';
import { TestSystem, testPort } from '#test/support/system.ts';
import type { Bench, BenchContext } from './bench.ts';
import { KIB, MIB, pathOf } from './bench.ts';
import type { Measured } from './measure.ts';
import { cannotPin, childrenOf, measure, median, rssBytes } from './measure.ts';
import { startNginx } from './nginx.ts';
import { writeCertificate } from './serve.ts';

const COUNTS = [1, 2];
const CASES = [
  { name: '64KiB', bytes: 64 * KIB, secure: false },
  { name: '1MiB', bytes: MIB, secure: false },
  { name: '64MiB', bytes: 64 * MIB, secure: false },
  { name: '1MiB', bytes: MIB, secure: true },
];
const CONNECTIONS = 16;

interface Server {
  name: string;
  port: number;
  securePort: number;
  pids: number[];
  paths: (sizeBytes: number) => string[];
}

/**
 * The bundled agent with one process and with two workers, beside nginx with one and two, on all cores of the machine, which
 * the load shares: what a second worker gains here is less than on a machine of its own. And what a worker takes of memory.
 */
export const workers: Bench = async (context) => {
  const why = cannotPin();
  if (why !== null) return context.progress(`workers: skipped, ${why}`);
  const folder = mkdtempSync(join(tmpdir(), 'hearth-bench-'));
  const certificate = await writeCertificate(folder);
  const system = await TestSystem.start({ boxes: COUNTS.length });
  const stops: (() => Promise<void>)[] = [];
  try {
    const site = await system.addSite();
    const paths = [...new Set(CASES.map(({ bytes }) => bytes))];
    for (const bytes of paths) system.origin.write(pathOf(bytes), randomBytes(bytes));
    const assets = await system.ingest(site, paths.map(pathOf));
    await system.assign(assets, system.boxes);
    await system.untilHeld(assets, system.boxes);
    const bundle = await buildAgent(join(system.directory, 'agent'));
    const servers: Server[] = [];
    for (const [index, count] of COUNTS.entries()) {
      const box = system.box(index);
      const securePort = await testPort();
      await box.stop();
      await box.start(bundle, {
        ...AGENT_ENVIRONMENT,
        HEARTH_WORKERS: String(count),
        HEARTH_TLS_CERT: certificate.cert,
        HEARTH_TLS_KEY: certificate.key,
        HEARTH_TLS_PORT: String(securePort),
      });
      await system.untilRoutable(box);
      const pids = [box.pid, ...(await workersOf(box.pid, count))];
      servers.push(ours(system, site, box, { count, securePort, pids }));
    }
    for (const count of COUNTS) {
      const nginx = await startNginx('tuned', system.origin.root, system.directory, certificate, count);
      if (!nginx) continue;
      stops.push(nginx.stop);
      const { port, securePort, workerPids: pids } = nginx;
      servers.push({
        name: `nginx-tuned ${count}`,
        port,
        securePort: securePort ?? 0,
        pids,
        paths: (bytes) => [pathOf(bytes)],
      });
    }
    for (const one of CASES) await oneCase(context, servers, one);
    tellMemory(context, servers);
  } finally {
    for (const stop of stops) await stop();
    await system.close();
    rmSync(folder, { recursive: true, force: true });
  }
};

/** The worker processes, once all are there; the agent has other children too, which come and go. */
async function workersOf(pid: number, count: number): Promise<number[]> {
  const script = (of: number) => readFileSync(`/proc/${of}/cmdline`, 'utf8').split('\0')[1];
  const isWorker = (child: number) => {
    try {
      return script(child) === script(pid);
    } catch {
      return false;
    }
  };
  return waitFor(async () => {
    const workers = childrenOf(pid).filter(isWorker);
    return workers.length === (count === 1 ? 0 : count) ? workers : null;
  }, 'the workers are not there');
}

function ours(
  system: TestSystem,
  site: Site,
  box: TestBox,
  { count, securePort, pids }: { count: number; securePort: number; pids: number[] },
): Server {
  const scope = { boxId: box.id, siteId: site.id, prefix: '/bench/', maxBytes: 2 ** 47 };
  const paths = (bytes: number) =>
    Array.from({ length: CONNECTIONS }, () => {
      const token = mintFor(system, { ...scope, expiresAtMs: Date.now() + 3_600_000 });
      return `/c/${token}/${site.id}${pathOf(bytes)}`;
    });
  return { name: `hearth ${count}`, port: box.contentPort, securePort, pids, paths };
}

async function oneCase(
  { measureMs, rounds, emit, progress }: BenchContext,
  servers: Server[],
  one: (typeof CASES)[number],
): Promise<void> {
  const name = `${one.secure ? 'https' : 'http'} ${one.name} c${CONNECTIONS}`;
  progress(`workers: ${name}`);
  const allCores = cpus()
    .map((_, index) => index)
    .join();
  const runs = new Map<string, Measured[]>(servers.map((server) => [server.name, []]));
  for (let round = 0; round < rounds; round++) {
    for (const server of servers) {
      const plan = {
        port: one.secure ? server.securePort : server.port,
        secure: one.secure,
        host: 'bench.localhost',
        paths: server.paths(one.bytes),
        connections: CONNECTIONS,
        warmupMs: 250,
        measureMs,
        expectStatus: 200,
        expectBytes: one.bytes,
      };
      runs.get(server.name)?.push(await measure(plan, server.pids, allCores));
    }
  }
  const figure = (server: string, of: (run: Measured) => number) => median((runs.get(server) ?? []).map(of));
  const rate = (server: string) => figure(server, (run) => run.bytes / 1e3 / run.measuredMs);
  const cost = (server: string) => figure(server, (run) => (run.serverCpuSeconds / run.bytes) * 1e9);
  for (const server of servers) {
    const base = { bench: 'workers', case: `${name}, ${server.name}`, peer: null, ratio: null };
    emit({ ...base, value: rate(server.name), unit: 'MB/s' });
    emit({ ...base, value: cost(server.name), unit: 'CPU s/GB' });
  }
  for (const kind of ['hearth', 'nginx-tuned']) {
    const [single, several] = COUNTS.map((count) => `${kind} ${count}`);
    if (!single || !several || !runs.has(several)) continue;
    const base = { bench: 'workers', case: `${name}, ${several}`, peer: single };
    emit({ ...base, value: rate(several), unit: 'MB/s', ratio: rate(several) / rate(single) });
    emit({ ...base, value: cost(several), unit: 'CPU s/GB', ratio: cost(single) / cost(several) });
  }
}

/** After the load: resident, and what is its own share of what processes have in common (the program itself). */
function tellMemory({ emit }: BenchContext, servers: Server[]): void {
  for (const { name, pids } of servers.filter((server) => server.name.startsWith('hearth'))) {
    for (const [index, pid] of pids.entries()) {
      const base = { bench: 'workers', peer: null, ratio: null };
      const which = `memory, ${name}, ${index === 0 ? 'main process' : `worker ${index}`}`;
      emit({ ...base, case: which, value: rssBytes([pid]) / 1e6, unit: 'MB RSS' });
      const share = /^Pss:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/smaps_rollup`, 'utf8'))?.[1];
      emit({ ...base, case: which, value: (Number(share) * 1024) / 1e6, unit: 'MB PSS' });
    }
  }
}
