import type { Readable, Writable } from 'node:stream';

/** What all carried connections together may hold on their way into tunnels, roughly, bytes. */
const BUDGET_BYTES = 4 * 1024 * 1024;
/** One piece of a socket. */
const LEAST_BYTES = 64 * 1024;
/** More makes nothing faster. */
const MOST_BYTES = 256 * 1024;

/** What one of so many connections may hold, bytes. */
export function roomFor(connections: number): number {
  return Math.max(LEAST_BYTES, Math.min(MOST_BYTES, Math.floor(BUDGET_BYTES / Math.max(1, connections))));
}

/**
 * Pipes, with room for several pieces. A piece of a socket fills an HTTP/2 stream at once, so that `pipe()` stops and
 * starts reading for each, with a turn of the event loop and two system calls between any two; here the next ones wait
 * while the first is sent, and then go together. Faults of either side are the caller's.
 * @param roomBytes asked for each piece: what may wait in `to`
 */
export function pour(from: Readable, to: Writable, roomBytes: () => number): void {
  from.on('data', (piece: Buffer) => {
    if (to.destroyed || to.writableEnded) return;
    if (!to.write(piece) && to.writableLength >= roomBytes()) from.pause();
  });
  to.on('drain', () => from.resume());
  from.once('end', () => to.end());
}
