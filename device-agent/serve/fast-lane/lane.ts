import type { Socket } from 'node:net';
import type { Shaper } from '#shaping/shaper.ts';
import type { Visitor } from '../connections.ts';
import type { Deliveries, DeliveryParts } from '../delivery.ts';
import type { Desk } from '../desk.ts';
import type { OpenFiles } from '../open-files.ts';
import type { PieceCache } from '../pieces/piece-cache.ts';
import type { Source } from '../reply.ts';
import { FastConnection } from './connection.ts';
import { HandleWire } from './handle-wire.ts';
import type { Handles } from './handles.ts';
import { handleOf } from './handles.ts';
import { RequestHeads } from './request-head.ts';
import { ResponseHeads } from './response-head.ts';
import { StreamWire } from './stream-wire.ts';
import type { Wire, WireEvents } from './wire.ts';

export interface LaneParts extends Pick<DeliveryParts, 'clock' | 'meter'> {
  decider: Desk;
  files: OpenFiles;
  pieces: PieceCache;
  limits: { headersMs: number; idleMs: number; stalledMs: number };
  deliveries: Deliveries;
  /** The household's line. */
  up: Pick<Shaper, 'ask' | 'spend' | 'giveBack'>;
  /** What plain connections can be driven by; null: by what Node promises of its sockets. */
  handles: Promise<Handles | null>;
  /** Gives a connection away, which is node:http's from then on. */
  toNodeHttp: (socket: Socket) => void;
  /** Reading an object, or a variant of one, failed. */
  onReadFailed: (source: Source, error: unknown) => void;
}

/**
 * What one response hands to the kernel at a time. Large slices cost few system calls; with many responses small
 * ones let each have its turn within milliseconds, and what waits for slow clients stays small.
 */
const SLICES = [
  { upTo: 32, bytes: 1024 * 1024 },
  { upTo: 128, bytes: 256 * 1024 },
  { upTo: 256, bytes: 64 * 1024 },
  { upTo: Number.POSITIVE_INFINITY, bytes: 32 * 1024 },
] as const;
/**
 * Sent in one turn of the event loop, bytes. libuv takes one new connection a turn: with long turns a crowd that
 * arrives together waits for seconds.
 */
const TURN_BYTES = 128 * 1024;
/** With more responses, what is not in memory is read in slices and not kept: it would push itself out. */
const MOST_FILLING = 128;

/**
 * The fast lane: answers plain requests for held objects on the raw socket, from memory or with few large reads, with
 * one system call for head and body. It decides as the slow lane does, by the same `Decider`, and says the same
 * bytes; whatever it does not know goes to node:http with the connection it came by.
 */
export class Lane {
  readonly parts: LaneParts;
  readonly requests = new RequestHeads();
  readonly heads: ResponseHeads;
  readonly #connections = new Set<FastConnection>();
  readonly #tickMs: number;
  #timer: NodeJS.Timeout | null = null;
  #handles: Handles | null = null;
  /** Those with more to send, in the order of their turns. */
  readonly #waiting: FastConnection[] = [];
  #isTurnSet = false;
  /** Counts up while there are connections, every `#tickMs`. */
  ticks = 0;

  constructor(parts: LaneParts) {
    this.parts = parts;
    this.heads = new ResponseHeads(parts.limits.idleMs);
    const { idleMs, headersMs, stalledMs } = parts.limits;
    this.#tickMs = Math.max(10, Math.min(1_000, idleMs / 4, headersMs / 4, stalledMs / 4));
    void parts.handles.then((handles) => {
      this.#handles = handles;
    });
  }

  /** Takes a new connection, plain or within TLS, from which nothing has been read. */
  take(socket: Socket, visitor: Visitor): void {
    this.#connections.add(new FastConnection(this, socket, visitor));
    this.#timer ??= setInterval(() => this.#tick(), this.#tickMs).unref();
  }

  /** How a connection is driven. */
  wireOf(socket: Socket, events: WireEvents): Wire {
    const { stalledMs } = this.parts.limits;
    const handle = this.#handles && handleOf(socket);
    return this.#handles && handle
      ? new HandleWire(this.#handles, handle, socket, events, stalledMs)
      : new StreamWire(socket, events, stalledMs);
  }

  /** Puts a connection that has more to send behind the others. */
  queue(connection: FastConnection): void {
    this.#waiting.push(connection);
    if (this.#isTurnSet) return;
    this.#isTurnSet = true;
    setImmediate(this.#turn);
  }

  readonly #turn = (): void => {
    let left = TURN_BYTES;
    let done = 0;
    for (const connection of this.#waiting) {
      if (left <= 0) break;
      left -= connection.proceed();
      done++;
    }
    this.#waiting.splice(0, done);
    this.#isTurnSet = this.#waiting.length > 0;
    if (this.#isTurnSet) setImmediate(this.#turn);
  };

  /** Connections it has at the moment. */
  get size(): number {
    return this.#connections.size;
  }

  /** Closes connections without a response under way. */
  closeIdle(): void {
    for (const connection of this.#connections) if (connection.idle) connection.cut();
  }

  /** The bytes of this source are known to be wrong: nothing more of them may be sent. */
  cut(key: string): void {
    for (const connection of this.#connections) if (connection.sourceKey === key) connection.cut();
  }

  forget(connection: FastConnection): void {
    this.#connections.delete(connection);
    if (this.#connections.size > 0 || !this.#timer) return;
    clearInterval(this.#timer);
    this.#timer = null;
  }

  /** What one response is given at a time at most, bytes. */
  mostSliceBytes(): number {
    const { responses } = this.parts.meter;
    for (const { upTo, bytes } of SLICES) if (responses <= upTo) return bytes;
    return 32 * 1024;
  }

  /** So few responses that none waits long for the others. */
  get isCalm(): boolean {
    return this.parts.meter.responses <= SLICES[0].upTo;
  }

  /** Whether what is read is to be kept in memory for others. */
  get filling(): boolean {
    return this.parts.meter.responses <= MOST_FILLING;
  }

  #tick(): void {
    this.ticks++;
    const { idleMs, headersMs } = this.parts.limits;
    for (const connection of this.#connections)
      connection.tick(idleMs / this.#tickMs, headersMs / this.#tickMs);
  }
}
