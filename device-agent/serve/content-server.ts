import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import http from 'node:http';
import type { AddressInfo } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Logger } from 'pino';
import type { Store } from '#agent/store/store.ts';
import type { Clock } from '#agent/time/clock.ts';
import { messageOf } from '#protocol/errors.ts';
import { Buffers } from './buffers.ts';
import { Carrier } from './carry.ts';
import { Decider } from './decide.ts';
import { ENCODING_LIMITS, Encodings } from './encodings/encodings.ts';
import { CODINGS, keyOf, readKey } from './encodings/variant.ts';
import type { ServingMeter } from './meter.ts';
import { Sources } from './sources.ts';
import type { OpenEntitlement, TokenGate } from './token-gate.ts';
import { Turns } from './turns.ts';

export interface ContentServerParts {
  store: Store;
  tokens: TokenGate;
  meter: ServingMeter;
  clock: Clock;
  log: Logger;
  limits: ContentLimits;
  /** Who we are; null before pairing. */
  boxId: () => string | null;
  /** Where clients are sent whom we cannot serve; null before the fleet has told. */
  routerUrl: () => string | null;
  /** False while nothing new is to be served: requests go back to the router. */
  accepting: () => boolean;
  /** For the Age header: whole seconds since an asset was last known to be the site's content. */
  ageSeconds: (issuedAtMs: number) => number;
  /** Bytes the kernel took for one response; `requests` is 1 with the last of them. */
  onDelivered: (entitlement: OpenEntitlement, assetId: string, bytes: number, requests: number) => void;
  /** Reading an object failed. */
  onReadFailed: (sha256: string, error: unknown) => void;
}

export interface ContentLimits {
  maxConnections: number;
  /** Longest time for a request's head, ms. */
  headersMs: number;
  /** A kept-alive connection without a request, ms. */
  idleMs: number;
  /** A client that takes no byte for this long is cut, ms. */
  stalledMs: number;
  /** Open files nobody reads that are kept. */
  openFiles: number;
  hotBytes: number;
}

export const CONTENT_LIMITS: ContentLimits = {
  maxConnections: 1024,
  headersMs: 10_000,
  idleMs: 15_000,
  stalledMs: 30_000,
  openFiles: 128,
  hotBytes: 8 * 1024 * 1024,
};

/** New connections are still taken, and sent back to the router, this long after a drain has begun, ms. */
const LINGER_MS = 300;
/** Pipelined requests that wait for the one before them, over all connections. */
const MOST_PIPELINED = 2_000;

/** The content port: serves held objects to plain HTTP clients, sends everybody else back to the router. */
export class ContentServer {
  readonly #parts: ContentServerParts;
  /** Compressed copies of what is held. */
  readonly encodings: Encodings;
  readonly #server: Server;
  readonly #sources: Sources;
  readonly #decider: Decider;
  readonly #carrier: Carrier;
  readonly #turns = new Turns(MOST_PIPELINED);
  #connections = 0;
  #draining = false;

  constructor(parts: ContentServerParts) {
    this.#parts = parts;
    const { limits, store } = parts;
    this.encodings = new Encodings({
      store,
      log: parts.log,
      limits: ENCODING_LIMITS,
      onGone: (key) => this.#sources.withdraw(key),
      onSourceDamaged: parts.onReadFailed,
    });
    this.#sources = new Sources(
      (key) => (readKey(key) ? this.encodings.open(key) : store.openComplete(key)),
      limits,
    );
    this.#decider = new Decider({
      ...parts,
      variants: this.encodings,
      accepting: () => !this.#draining && parts.accepting(),
    });
    this.#carrier = new Carrier({
      ...parts,
      decider: this.#decider,
      sources: this.#sources,
      buffers: new Buffers(),
      onVariantFailed: (key, error) => this.encodings.failed(key, error),
    });
    store.on((event) => {
      if (event.type !== 'withdrawn') return;
      this.#sources.withdraw(event.sha256, event.damaged);
      for (const coding of CODINGS) this.#sources.withdraw(keyOf(event.sha256, coding), event.damaged);
    });
    this.#server = this.#makeServer(limits);
  }

  #makeServer(limits: ContentLimits): Server {
    const server = http.createServer(
      {
        maxHeaderSize: 16 * 1024,
        headersTimeout: limits.headersMs,
        requestTimeout: limits.headersMs,
        keepAliveTimeout: limits.idleMs,
        connectionsCheckingInterval: Math.min(1000, limits.headersMs),
        noDelay: true,
      },
      (request, response) => void this.#answer(request, response),
    );
    // A client may close its side once it has asked, and still gets its answer. Node has this, and no type for it.
    Object.assign(server, { httpAllowHalfOpen: true });
    server.timeout = limits.stalledMs;
    server.maxConnections = limits.maxConnections;
    server.on('connection', (socket) => {
      this.#connections++;
      socket.once('close', () => this.#connections--);
    });
    return server;
  }

  get connections(): number {
    return this.#connections;
  }

  /** @returns the port it listens on */
  async listen(port: number, address: string): Promise<number> {
    await new Promise<void>((resolve, reject) => {
      this.#server.once('error', reject);
      this.#server.listen(port, address, () => resolve());
    });
    return (this.#server.address() as AddressInfo).port;
  }

  /** Sends new requests back to the router, lets running responses end within `boundMs`, and closes. */
  async drain(boundMs: number): Promise<void> {
    this.#draining = true;
    const deadline = this.#parts.clock.monotonic() + boundMs;
    await sleep(Math.min(LINGER_MS, boundMs));
    const closed = new Promise<void>((resolve) => this.#server.close(() => resolve()));
    while (this.#parts.meter.responses > 0 && this.#parts.clock.monotonic() < deadline) await sleep(20);
    this.#server.closeAllConnections();
    await closed;
    await this.encodings.close();
    this.#sources.clear();
  }

  /** The disk has gone: nothing of it is to be read. */
  withdrawAll(): void {
    this.encodings.forgetAll();
    this.#sources.clear();
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { meter, log } = this.#parts;
    response.on('error', () => undefined);
    const turn = this.#turns.enter(request, response);
    if (turn !== true && !(await turn)) return;
    meter.responses++;
    try {
      const { method = '', url = '', headers } = request;
      const reply = this.#decider.decide({ method, target: url, headers });
      if (this.#draining) reply.close = true;
      await this.#carrier.carry(response, reply);
    } catch (error) {
      log.error({ reason: messageOf(error) }, 'a request could not be answered');
      response.destroy();
    } finally {
      meter.responses--;
    }
  }
}
