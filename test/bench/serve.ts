import type { Bench, BenchContext, ServingBox } from './bench.ts';
import { KIB, MIB, pathOf, signedPaths, startServingBox } from './bench.ts';
import type { Measured } from './measure.ts';
import { cannotPin, measure, median, pinServer } from './measure.ts';
import type { Nginx } from './nginx.ts';
import { startNginx } from './nginx.ts';

const SIZES = [
  { name: '64KiB', bytes: 64 * KIB },
  { name: '1MiB', bytes: MIB },
  { name: '64MiB', bytes: 64 * MIB },
];
const CONNECTIONS = [1, 16, 128];

interface Server {
  name: string;
  port: number;
  pids: number[];
  paths: (sizeBytes: number, connections: number) => string[];
}

/**
 * The box's content server beside nginx: bytes a second, and CPU seconds for 10^9 bytes. Each case runs on every
 * server in turn, round after round, so that what drifts on the machine drifts for all.
 */
export const serve: Bench = async (context) => {
  const why = cannotPin();
  if (why !== null) return context.progress(`serve: skipped, ${why}`);
  const box = await startServingBox(SIZES.map((size) => size.bytes));
  const peers: Nginx[] = [];
  try {
    for (const kind of ['packaged', 'tuned'] as const) {
      const nginx = await startNginx(kind, box.system.origin.root, box.system.directory);
      if (nginx) peers.push(nginx);
      else context.progress(`serve: without nginx-${kind}, it is not installed`);
    }
    const servers = [ours(box), ...peers.map(theirs)];
    for (const server of servers) pinServer(server.pids);
    for (const size of SIZES) {
      for (const connections of CONNECTIONS) await oneCase(context, servers, size, connections);
    }
  } finally {
    for (const peer of peers) await peer.stop();
    await box.close();
  }
};

function ours(box: ServingBox): Server {
  const agent = box.system.box(0);
  return {
    name: 'hearth',
    port: agent.contentPort,
    pids: [agent.pid],
    paths: (bytes, connections) => signedPaths(box, pathOf(bytes), connections),
  };
}

function theirs(nginx: Nginx): Server {
  return { name: nginx.name, port: nginx.port, pids: nginx.workerPids, paths: (bytes) => [pathOf(bytes)] };
}

async function oneCase(
  { measureMs, rounds, emit, progress }: BenchContext,
  servers: Server[],
  size: { name: string; bytes: number },
  connections: number,
): Promise<void> {
  const name = `http ${size.name} c${connections}`;
  progress(`serve: ${name}`);
  const runs = new Map<string, Measured[]>(servers.map((server) => [server.name, []]));
  for (let round = 0; round < rounds; round++) {
    for (const server of servers) {
      const plan = {
        port: server.port,
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
