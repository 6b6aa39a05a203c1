import type { ChildProcess } from 'node:child_process';
import { fork } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { Socket } from 'node:net';
import path from 'node:path';

/** Set for a process that is to be a worker; by the main process alone. */
export const WORKER_VARIABLE = 'HEARTH_WORKER_PROCESS';
/** Where a worker finds its pipe to the main process. Node's own channel, one below, carries the connections. */
export const PIPE_FD = 4;

/**
 * Starts this very program again as a worker.
 * @param script what Node was started with: the sources' main file, the bundle, or an executable's entry
 */
export function spawnWorker(script: string): { child: ChildProcess; pipe: Socket } {
  const child = fork(script, [], {
    execArgv: argumentsBefore(script, readCommandLine()) ?? process.execArgv,
    env: { ...process.env, [WORKER_VARIABLE]: '1' },
    stdio: ['ignore', 'ignore', 'inherit', 'ipc', 'pipe'],
  });
  const pipe = child.stdio[PIPE_FD];
  if (!(pipe instanceof Socket)) throw new Error('a worker without a pipe');
  return { child, pipe };
}

/**
 * What stands between the program's file and the script. Node where another C library is the system's is started by its
 * own loader, which is then the program's file, and Node one of its arguments.
 * @returns null when this process was started otherwise
 */
export function argumentsBefore(script: string, commandLine: string[]): string[] | null {
  const at = commandLine.findIndex((argument, index) => index > 0 && path.resolve(argument) === script);
  return at < 0 ? null : commandLine.slice(1, at);
}

/** Empty where the kernel does not tell. */
function readCommandLine(): string[] {
  try {
    return readFileSync('/proc/self/cmdline', 'utf8').split('\0').slice(0, -1);
  } catch {
    return [];
  }
}
