import { totalmem } from 'node:os';
import type { ClientLimits } from './clients.ts';
import { CLIENT_LIMITS } from './clients.ts';

/** Bounds of whoever speaks with clients. */
export interface FrontLimits {
  /** Longest time for a request's head, ms. */
  headersMs: number;
  /** A kept-alive connection without a request, ms. */
  idleMs: number;
  /** A client that takes no byte for this long is cut, ms. */
  stalledMs: number;
  /** A client that takes longer than this for a piece of at most 256 KiB is cut, ms. */
  pieceMs: number;
  /** Open files nobody reads that are kept. */
  openFiles: number;
  /** Memory for content, bytes. */
  piecesBytes: number;
}

export interface ContentLimits extends FrontLimits {
  /** Connections served at once; some more are told to go elsewhere. */
  maxConnections: number;
  client: ClientLimits;
}

export const CONTENT_LIMITS: ContentLimits = {
  maxConnections: 1024,
  client: CLIENT_LIMITS,
  headersMs: 10_000,
  idleMs: 15_000,
  stalledMs: 30_000,
  pieceMs: 120_000,
  openFiles: 128,
  piecesBytes: memoryForPieces(totalmem()),
};

/** A 64th of the machine's memory, 4 to 16 MiB: what the kernel keeps of files costs one copy more, and no more. */
function memoryForPieces(totalBytes: number): number {
  return Math.min(16, Math.max(4, Math.floor(totalBytes / 64 / 2 ** 20))) * 2 ** 20;
}
