import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { existsSync, readdirSync } from 'node:fs';
import type { TestContext } from 'node:test';
import { findTool, howToGet, type ToolName } from '#test/support/tools.ts';

/**
 * Network namespaces for tests: whole home networks on one machine, that no packet leaves. Their names carry the pid
 * of who made them, so that those of a test that was killed are removed by the next.
 */
const PREFIX = 'hearth-';
const NETNS_FOLDER = '/run/netns';

const TOOLS: ToolName[] = ['ip', 'nft', 'miniupnpd', 'upnpc'];

/** Options for a suite: a skip that says why, where namespaces or the tools are not to be had. */
export function needsNamespaces(): { skip?: string } {
  const missing = TOOLS.filter((name) => findTool(name) === null);
  if (missing.length > 0) {
    if (process.env.CI === 'true') throw new Error(`CI=true, and ${missing.join(', ')} missing`);
    return { skip: missing.map((name) => `needs ${name}: ${howToGet(name)}`).join('; ') };
  }
  if (process.getuid?.() !== 0) return { skip: 'needs root, to make network namespaces' };
  const probe = `${PREFIX}${process.pid}-probe`;
  const made = spawnSync('ip', ['netns', 'add', probe]);
  if (made.status !== 0)
    return { skip: `network namespaces cannot be made here: ${String(made.stderr).trim()}` };
  spawnSync('ip', ['netns', 'del', probe]);
  return {};
}

/** Runs a tool to its end. @throws with what it said, when it fails */
export function run(program: string, args: string[], input?: string): string {
  const done = spawnSync(program, args, { input, encoding: 'utf8' });
  if (done.status !== 0) {
    throw new Error(`${program} ${args.join(' ')}: ${done.error ?? done.stderr.trim() ?? done.status}`);
  }
  return done.stdout;
}

/** Removes what tests left that were killed: namespaces of dead pids, and the processes in them. */
export function removeStale(): void {
  if (!existsSync(NETNS_FOLDER)) return;
  for (const name of readdirSync(NETNS_FOLDER)) {
    const pid = new RegExp(`^${PREFIX}(\\d+)-`).exec(name)?.[1];
    if (pid && !existsSync(`/proc/${pid}`)) removeNamespace(name);
  }
}

function removeNamespace(name: string): void {
  const inside = spawnSync('ip', ['netns', 'pids', name], { encoding: 'utf8' });
  for (const pid of (inside.stdout ?? '').split('\n').filter(Boolean)) {
    try {
      process.kill(Number(pid), 'SIGKILL');
    } catch {
      // It has ended meanwhile.
    }
  }
  spawnSync('ip', ['netns', 'del', name]);
}

let made = 0;

/** One namespace: a machine on a network. */
export class Machine {
  readonly name: string;
  readonly #children = new Set<ChildProcess>();

  constructor(label: string) {
    this.name = `${PREFIX}${process.pid}-${++made}-${label}`;
    run('ip', ['netns', 'add', this.name]);
    this.ip('link', 'set', 'lo', 'up');
    // Addresses are to be usable at once.
    this.exec('sysctl', ['-qw', 'net.ipv6.conf.all.accept_dad=0', 'net.ipv6.conf.default.accept_dad=0']);
  }

  ip(...args: string[]): string {
    return run('ip', ['-n', this.name, ...args]);
  }

  /** Runs a tool in it to its end. */
  exec(program: string, args: string[], input?: string): string {
    return run('ip', ['netns', 'exec', this.name, program, ...args], input);
  }

  /** Starts a program in it, which ends with the machine at the latest. `ip netns exec` becomes the program: its pid. */
  spawn(program: string, args: string[], env: Record<string, string> = {}): ChildProcess {
    const child = spawn('ip', ['netns', 'exec', this.name, program, ...args], {
      stdio: ['pipe', 'pipe', 'pipe'],
      env: { PATH: process.env.PATH, ...env },
    });
    this.#children.add(child);
    child.once('exit', () => this.#children.delete(child));
    return child;
  }

  remove(): void {
    for (const child of this.#children) child.kill('SIGKILL');
    removeNamespace(this.name);
  }
}

/** A cable between two machines. */
export function connect(a: Machine, portA: string, b: Machine, portB: string): void {
  run('ip', ['link', 'add', portA, 'netns', a.name, 'type', 'veth', 'peer', 'name', portB, 'netns', b.name]);
  a.ip('link', 'set', portA, 'up');
  b.ip('link', 'set', portB, 'up');
}

/** Machines that are removed when the test ends. */
export function machines<const L extends string>(t: TestContext, ...labels: L[]): Record<L, Machine> {
  removeStale();
  const all: Record<string, Machine> = {};
  t.after(() => {
    for (const machine of Object.values(all)) machine.remove();
  });
  for (const label of labels) all[label] = new Machine(label);
  return all as Record<L, Machine>;
}
