import type { ChildProcess } from 'node:child_process';
import { Socket } from 'node:net';
import { startAgain } from '#agent/again/again.ts';

/** Where a worker finds its pipe to the main process. Node's own channel, one below, carries the connections. */
export const PIPE_FD = 4;

/** Starts a worker. @param script what Node was started with */
export function spawnWorker(script: string): { child: ChildProcess; pipe: Socket } {
  const child = startAgain(script, 'worker', ['ignore', 'ignore', 'inherit', 'ipc', 'pipe']);
  const pipe = child.stdio[PIPE_FD];
  if (!(pipe instanceof Socket)) throw new Error('a worker without a pipe');
  return { child, pipe };
}
