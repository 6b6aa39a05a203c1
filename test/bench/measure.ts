import { spawn, spawnSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { cpus, release, totalmem } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { findTool } from '#test/support/tools.ts';
import type { LoadPlan, LoadResult } from './load-plan.ts';
import { loadResultSchema } from './load-plan.ts';

/** Clock ticks a second in /proc (USER_HZ): 100 on every Linux Node runs on. */
const TICKS_PER_SECOND = 100;
const SERVER_CORE = '1';
export const LOAD_CORE = '0';

/** Why a bench that pins processes and reads /proc cannot run here; null when it can. */
export function cannotPin(): string | null {
  if (process.platform !== 'linux') return 'needs Linux (/proc, taskset)';
  if (cpus().length < 2) return 'needs two cores, one for the server and one for the load';
  return spawnSync('taskset', ['--version']).status === 0 ? null : 'needs taskset (util-linux)';
}

/** Puts every thread of the servers on their core. */
export function pinServer(pids: number[]): void {
  for (const pid of pids) spawnSync('taskset', ['-a', '-c', '-p', SERVER_CORE, String(pid)]);
}

/** CPU time used so far by these processes, user and system, all threads, seconds. */
export function cpuSeconds(pids: number[]): number {
  let ticks = 0;
  for (const pid of pids) {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    ticks += Number(fields[11]) + Number(fields[12]);
  }
  return ticks / TICKS_PER_SECOND;
}

/** Resident memory of these processes, bytes. */
export function rssBytes(pids: number[]): number {
  const kilobytes = pids.map(
    (pid) => /^VmRSS:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1],
  );
  return kilobytes.reduce((total, value) => total + Number(value ?? 0) * 1024, 0);
}

export function childrenOf(pid: number): number[] {
  return readdirSync(`/proc/${pid}/task`).flatMap((task) =>
    readFileSync(`/proc/${pid}/task/${task}/children`, 'utf8').trim().split(' ').filter(Boolean).map(Number),
  );
}

export interface Measured extends LoadResult {
  /** CPU the servers used while it was measured, seconds. */
  serverCpuSeconds: number;
}

/**
 * Runs one load against servers already pinned.
 * @param loadCores where the load may run
 * @throws when any request failed: a figure with errors in it is no figure
 */
export async function measure(
  plan: LoadPlan,
  serverPids: number[],
  loadCores = LOAD_CORE,
): Promise<Measured> {
  const child = spawn(
    'taskset',
    ['-c', loadCores, process.execPath, join(import.meta.dirname, 'load.ts'), JSON.stringify(plan)],
    { stdio: ['ignore', 'pipe', 'inherit'] },
  );
  let before = 0;
  let after = 0;
  let result: LoadResult | null = null;
  for await (const line of createInterface({ input: child.stdout })) {
    if (line === '{"measuring":true}') before = cpuSeconds(serverPids);
    else {
      after = cpuSeconds(serverPids);
      result = loadResultSchema.parse(JSON.parse(line));
    }
  }
  if (!result) throw new Error('the load ended without a result');
  if (result.errors > 0 || result.requests + result.bytes === 0) {
    throw new Error(`${result.errors} requests failed, the first: ${result.firstError}`);
  }
  return { ...result, serverCpuSeconds: after - before };
}

export function median(values: number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = Math.floor(sorted.length / 2);
  const upper = sorted[middle] ?? Number.NaN;
  return sorted.length % 2 === 1 ? upper : ((sorted[middle - 1] ?? Number.NaN) + upper) / 2;
}

/** What the figures were measured on. */
export function describeMachine(): string {
  const model = cpus()[0]?.model ?? 'unknown processor';
  const nginx = findTool('nginx');
  const version = nginx ? spawnSync(nginx, ['-v']).stderr.toString().trim().split('/').at(-1) : 'none';
  const memory = `${(totalmem() / 2 ** 30).toFixed(0)} GiB`;
  return `${cpus().length} x ${model}, ${memory}, ${process.platform} ${release()}, Node ${process.version}, nginx ${version}, loopback`;
}
