import type { ChildProcess } from 'node:child_process';
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { waitFor } from '#fleet/client/fleet-api.ts';
import { testPort } from '#test/support/system.ts';
import { childrenOf, LOAD_CORE } from '../measure.ts';

/** One way from a client to what a box behind a router serves. */
export interface Way {
  name: string;
  port: number;
  securePort: number;
  /** What does the relay's work: its CPU and memory count. */
  pids: () => number[];
  stop: () => Promise<void>;
}

export interface Target {
  /** What the box serves, plain and by TLS. */
  port: number;
  securePort: number;
}

/** Puts a process where the load is: it is not what is measured. */
export function besideTheLoad(pids: number[]): void {
  for (const pid of pids) spawnSync('taskset', ['-a', '-c', '-p', LOAD_CORE, String(pid)]);
}

/** @returns the port of a line to `port` that takes `delayMs` each way; `port` itself where there is no delay */
export async function longLine(port: number, delayMs: number, running: ChildProcess[]): Promise<number> {
  if (delayMs === 0) return port;
  const script = join(import.meta.dirname, 'delay-pipe.ts');
  const child = spawn('taskset', ['-c', LOAD_CORE, process.execPath, script, String(port), String(delayMs)], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  running.push(child);
  const [text] = await once(child.stdout, 'data');
  return Number(String(text));
}

const STREAM_MODULE = [
  '/usr/lib/nginx/modules/ngx_stream_module.so',
  '/usr/lib64/nginx/modules/ngx_stream_module.so',
];

/** nginx that passes TCP on: the ceiling, since it needs a box that can be dialled. Null where it is not installed. */
export async function nginxStream(
  program: string,
  target: Target,
  delayMs: number,
  folder: string,
  running: ChildProcess[],
): Promise<Way | null> {
  const module = STREAM_MODULE.find((path) => existsSync(path));
  if (!module) return null;
  const [port, securePort] = [await testPort(), await testPort()];
  const home = join(folder, `stream-${delayMs}`);
  mkdirSync(home);
  const server = async (own: number, to: number) =>
    `server { listen 127.0.0.1:${own}; tcp_nodelay on; proxy_pass 127.0.0.1:${await longLine(to, delayMs, running)}; }`;
  writeFileSync(
    join(home, 'nginx.conf'),
    `load_module ${module}; daemon off; worker_processes 1; pid nginx.pid; error_log error.log;
     events { worker_connections 8192; }
     stream { ${await server(port, target.port)} ${await server(securePort, target.securePort)} }`,
  );
  const child = spawn(program, ['-p', home, '-c', join(home, 'nginx.conf'), '-e', join(home, 'error.log')], {
    stdio: 'ignore',
  });
  running.push(child);
  await answers(port);
  return {
    name: 'nginx-stream',
    port,
    securePort,
    pids: () => childrenOf(child.pid ?? 0),
    stop: () => ended(child),
  };
}

/** OpenSSH as people use it for this: the box runs `ssh -R`. Null where it is not installed. */
export async function sshReverse(
  target: Target,
  delayMs: number,
  folder: string,
  running: ChildProcess[],
): Promise<(Way & { dial: () => Promise<ChildProcess> }) | null> {
  const sshd = ['/usr/sbin/sshd', '/usr/local/sbin/sshd'].find((path) => existsSync(path));
  if (!sshd || spawnSync('ssh', ['-V']).status !== 0) return null;
  // Where sshd keeps an empty folder for its unprivileged half; the package makes it when it starts the service.
  if (process.getuid?.() === 0) mkdirSync('/run/sshd', { recursive: true, mode: 0o755 });
  const home = join(folder, `ssh-${delayMs}`);
  mkdirSync(home, { mode: 0o700 });
  for (const name of ['host', 'box']) {
    spawnSync('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-f', join(home, name)]);
  }
  writeFileSync(join(home, 'authorized'), readFileSync(join(home, 'box.pub')));
  const [port, securePort, sshPort] = [await testPort(), await testPort(), await testPort()];
  writeFileSync(
    join(home, 'sshd_config'),
    [
      'ListenAddress 127.0.0.1',
      `Port ${sshPort}`,
      `HostKey ${join(home, 'host')}`,
      `AuthorizedKeysFile ${join(home, 'authorized')}`,
      `PidFile ${join(home, 'pid')}`,
      'PermitRootLogin prohibit-password',
      'PasswordAuthentication no',
      'StrictModes no',
      'UsePAM no',
      'MaxStartups 100',
      '',
    ].join('\n'),
  );
  const server = spawn(sshd, ['-D', '-e', '-f', join(home, 'sshd_config')], { stdio: 'ignore' });
  running.push(server);
  await answers(sshPort, 'tcp');
  const dialPort = await longLine(sshPort, delayMs, running);
  const dial = (forwards: string[]) => {
    const child = spawn(
      'taskset',
      [
        ...['-c', LOAD_CORE, 'ssh', '-N', '-p', String(dialPort), '-i', join(home, 'box')],
        ...['-o', 'StrictHostKeyChecking=no', '-o', `UserKnownHostsFile=${join(home, 'known')}`],
        ...['-o', 'ExitOnForwardFailure=yes', '-o', 'IdentitiesOnly=yes', '-F', 'none'],
        ...forwards.flatMap((forward) => ['-R', forward]),
        '127.0.0.1',
      ],
      { stdio: ['ignore', 'ignore', 'ignore'] },
    );
    running.push(child);
    return child;
  };
  dial([
    `127.0.0.1:${port}:127.0.0.1:${target.port}`,
    `127.0.0.1:${securePort}:127.0.0.1:${target.securePort}`,
  ]);
  await answers(port);
  return {
    name: 'ssh-R',
    port,
    securePort,
    pids: () => descendantsOf(server.pid ?? 0),
    dial: async () => {
      const own = await testPort();
      const child = dial([`127.0.0.1:${own}:127.0.0.1:${target.port}`]);
      await answers(own);
      return child;
    },
    stop: () => ended(server),
  };
}

export function descendantsOf(pid: number): number[] {
  return childrenOf(pid).flatMap((child) => [child, ...descendantsOf(child)]);
}

export async function ended(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const exited = once(child, 'exit');
  child.kill('SIGTERM');
  await exited;
}

async function answers(port: number, how: 'http' | 'tcp' = 'http'): Promise<void> {
  await waitFor(
    async () =>
      fetch(`http://127.0.0.1:${port}/`, { signal: AbortSignal.timeout(2_000) }).then(
        (answer) => answer.arrayBuffer().then(() => true),
        // A server that speaks something else has answered too.
        (error) => (how === 'tcp' && error?.cause?.code !== 'ECONNREFUSED' ? true : null),
      ),
    `nobody answers at port ${port}`,
    { timeoutMs: 15_000 },
  );
}
