import type { ChildProcess } from 'node:child_process';
import { fork } from 'node:child_process';
import { Socket } from 'node:net';

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
    env: { ...process.env, [WORKER_VARIABLE]: '1' },
    stdio: ['ignore', 'ignore', 'inherit', 'ipc', 'pipe'],
  });
  const pipe = child.stdio[PIPE_FD];
  if (!(pipe instanceof Socket)) throw new Error('a worker without a pipe');
  return { child, pipe };
}
