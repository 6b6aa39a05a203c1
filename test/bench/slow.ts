import { spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import type { Bench } from './bench.ts';
import { MIB, pathOf, signedPaths, startAsShipped, startServingBox } from './bench.ts';
import type { SlowPlan, SlowResult } from './load-plan.ts';
import { slowResultSchema } from './load-plan.ts';
import { cannotPin, LOAD_CORE, pinServer, rssBytes } from './measure.ts';
import { startNginx } from './nginx.ts';

const CLIENTS = 1_000;
const BYTES_PER_SECOND = 200_000;
/** Eight films of which everybody watches one. */
const OBJECT_BYTES = Array.from({ length: 8 }, (_, n) => 32 * MIB + n);
const RAMP_MS = 5_000;
const LEAST_MEASURE_MS = 20_000;

/**
 * A thousand clients that take 200 KB a second each, of the agent as it ships and of nginx: its memory, the kernel's
 * for sockets (both ends of each connection, since the clients are on this machine too), and how long a new client
 * waits for its first byte.
 */
export const slow: Bench = async ({ measureMs, emit, progress }) => {
  const why = cannotPin();
  if (why !== null) return progress(`slow: skipped, ${why}`);
  const box = await startServingBox(OBJECT_BYTES);
  try {
    const agent = box.system.box(0);
    await startAsShipped(box);
    const nginx = await startNginx('tuned', box.system.origin.root, box.system.directory);
    const paths = OBJECT_BYTES.flatMap((bytes) => signedPaths(box, pathOf(bytes), 1));
    const ours = { name: 'hearth', port: agent.contentPort, pids: [agent.pid], paths };
    const theirs = nginx && {
      name: nginx.name,
      port: nginx.port,
      pids: nginx.workerPids,
      paths: OBJECT_BYTES.map(pathOf),
    };
    progress(
      `slow: tcp_wmem ${readFileSync('/proc/sys/net/ipv4/tcp_wmem', 'utf8').trim().split(/\s+/).join(' ')}`,
    );
    for (const server of [ours, theirs]) {
      if (!server) continue;
      pinServer(server.pids);
      progress(`slow: ${server.name}, ${CLIENTS} clients`);
      const plan: SlowPlan = {
        port: server.port,
        host: 'bench.localhost',
        paths: server.paths,
        clients: CLIENTS,
        bytesPerSecond: BYTES_PER_SECOND,
        rampMs: RAMP_MS,
        measureMs: Math.max(LEAST_MEASURE_MS, measureMs),
      };
      const { result, mostRss, mostSocketBytes } = await measureSlow(plan, server.pids);
      const report = (value: number, unit: string) =>
        emit({
          bench: 'slow',
          case: `${CLIENTS} at 200 KB/s, ${server.name}`,
          value,
          unit,
          peer: null,
          ratio: null,
        });
      report(result.bytes / 1e3 / result.measuredMs, 'MB/s');
      report(mostRss / 1e6, 'MB RSS');
      report(mostSocketBytes / 1e6, 'MB of kernel socket memory');
      report(result.firstByteP50Ms, 'first byte p50 ms');
      report(result.firstByteP99Ms, 'first byte p99 ms');
    }
    await nginx?.stop();
  } finally {
    await box.close();
  }
};

async function measureSlow(
  plan: SlowPlan,
  pids: number[],
): Promise<{ result: SlowResult; mostRss: number; mostSocketBytes: number }> {
  const script = join(import.meta.dirname, 'slow-load.ts');
  const child = spawn('taskset', ['-c', LOAD_CORE, process.execPath, script, JSON.stringify(plan)], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let mostRss = 0;
  let mostSocketBytes = 0;
  const before = socketBytes();
  const watch = setInterval(() => {
    mostRss = Math.max(mostRss, rssBytes(pids));
    mostSocketBytes = Math.max(mostSocketBytes, socketBytes() - before);
  }, 250);
  try {
    let result: SlowResult | null = null;
    for await (const line of createInterface({ input: child.stdout })) {
      if (line !== '{"measuring":true}') result = slowResultSchema.parse(JSON.parse(line));
    }
    if (!result) throw new Error('the load ended without a result');
    if (result.errors > 0)
      throw new Error(`${result.errors} requests failed, the first: ${result.firstError}`);
    return { result, mostRss, mostSocketBytes };
  } finally {
    clearInterval(watch);
  }
}

/** What the kernel keeps for all TCP sockets, bytes. */
function socketBytes(): number {
  const pages = /^TCP: .* mem (\d+)$/m.exec(readFileSync('/proc/net/sockstat', 'utf8'))?.[1];
  return Number(pages ?? 0) * 4096;
}
