import type { ChildProcess } from 'node:child_process';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import path from 'node:path';
import type { TestContext } from 'node:test';

const MAIN = path.join(import.meta.dirname, 'main.ts');

/** A real agent process. */
export interface AgentProcess {
  child: ChildProcess;
  lanUrl: string;
  contentUrl: string;
  /** Its log, one JSON line each. */
  log: string[];
  stop: (signal?: NodeJS.Signals) => Promise<number | null>;
}

const started = new WeakMap<TestContext, AgentProcess['stop'][]>();

/** Kills the agents of a test; to be done before their peers are closed. */
export async function killAgents(t: TestContext): Promise<void> {
  await Promise.all((started.get(t) ?? []).map((stop) => stop('SIGKILL')));
}

/** What runs as the agent: the sources under this Node, or another build under another one. */
export interface AgentProgram {
  node: string;
  script: string;
  /** Arguments before the script: where `node` is an emulator or a loader. */
  before?: string[];
}
const SOURCES: AgentProgram = { node: process.execPath, script: MAIN };

/** Starts the agent with free ports on loopback; it may end at any moment. */
export function spawnAgent(t: TestContext, env: Record<string, string>, program: AgentProgram = SOURCES) {
  const child = spawn(program.node, [...(program.before ?? []), program.script], {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: {
      PATH: process.env.PATH,
      HEARTH_BIND: '127.0.0.1',
      HEARTH_LAN_PORT: '0',
      HEARTH_CONTENT_PORT: '0',
      HEARTH_DISK_ON_ROOT: 'yes',
      HEARTH_DISK_FLOOR_BYTES: '0',
      HEARTH_DISK_PROBE_MS: '200',
      HEARTH_DELIVERY_FLUSH_MS: '100',
      HEARTH_RETRY_MS: '200',
      HEARTH_CHECK_BYTES_PER_SECOND: '1000000000',
      HEARTH_UP_BYTES_PER_SECOND: '0',
      HEARTH_DOWN_BYTES_PER_SECOND: '0',
      HEARTH_MONTHLY_BYTES: '0',
      HEARTH_PORT_MAPPING: 'off',
      ...env,
    },
  });
  const stop = async (signal: NodeJS.Signals = 'SIGTERM') => {
    if (child.exitCode === null && child.signalCode === null) {
      const exited = once(child, 'exit');
      child.kill(signal);
      await exited;
    }
    return child.exitCode;
  };
  started.set(t, [...(started.get(t) ?? []), stop]);
  t.after(() => stop('SIGKILL'));
  return { child, stop };
}

/** Starts an agent and waits until it is ready. */
export async function startAgent(
  t: TestContext,
  env: Record<string, string>,
  program: AgentProgram = SOURCES,
): Promise<AgentProcess> {
  const { child, stop } = spawnAgent(t, env, program);
  const log: string[] = [];
  let errors = '';
  child.stderr?.on('data', (piece) => {
    errors += String(piece);
  });
  return new Promise((resolve, reject) => {
    let rest = '';
    child.stdout?.on('data', (piece) => {
      const lines = (rest + String(piece)).split('\n');
      rest = lines.pop() ?? '';
      for (const line of lines) {
        log.push(line);
        const entry = JSON.parse(line);
        if (entry.msg === 'ready')
          resolve({ child, log, stop, lanUrl: entry.lanUrl, contentUrl: entry.contentUrl });
      }
    });
    child.once('exit', (code) =>
      reject(new Error(`the agent ended with ${code}: ${errors}${log.join('\n')}`)),
    );
  });
}
