import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import http from 'node:http';
import type { IncomingHttpHeaders, ServerHttp2Stream } from 'node:http2';
import type { AddressInfo, Socket } from 'node:net';
import { totalmem } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Logger } from 'pino';
import type { Store } from '#agent/store/store.ts';
import type { Clock } from '#agent/time/clock.ts';
import type { Shaper } from '#agent/uplink/shaper.ts';
import { messageOf } from '#protocol/errors.ts';
import { textReply } from './answers.ts';
import { answerBadClient } from './bad-client.ts';
import { Buffers } from './buffers.ts';
import { Carrier } from './carry.ts';
import type { ClientLimits } from './clients.ts';
import { CLIENT_LIMITS } from './clients.ts';
import type { Visitor } from './connections.ts';
import { Connections } from './connections.ts';
import { Decider } from './decide.ts';
import { Deliveries } from './delivery.ts';
import { ENCODING_LIMITS, Encodings } from './encodings/encodings.ts';
import { CODINGS, keyOf, readKey } from './encodings/variant.ts';
import { Lane } from './fast-lane/lane.ts';
import { Http2Connections } from './http2/http2-server.ts';
import type { ServingMeter } from './meter.ts';
import type { Outlet } from './outlet.ts';
import { Http1Outlet, Http2Outlet } from './outlet.ts';
import type { RequestHead } from './reply.ts';
import { faultOf } from './request-faults.ts';
import { Sources } from './sources.ts';
import type { Certificate, Certificates } from './tls/certificates.ts';
import { SecurePort } from './tls/secure-port.ts';
import type { OpenEntitlement, TokenGate } from './token-gate.ts';
import { Turns } from './turns.ts';

export interface ContentServerParts {
  store: Store;
  tokens: TokenGate;
  meter: ServingMeter;
  clock: Clock;
  log: Logger;
  limits: ContentLimits;
  /** The household's line: what may be sent. */
  up: Pick<Shaper, 'take' | 'ask' | 'spend' | 'giveBack'>;
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
  /** Connections served at once; some more are told to go elsewhere. */
  maxConnections: number;
  client: ClientLimits;
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

/** A 64th of the machine's memory, 4 to 32 MiB: what the kernel keeps of files costs one copy more, and no more. */
function memoryForPieces(totalBytes: number): number {
  return Math.min(32, Math.max(4, Math.floor(totalBytes / 64 / 2 ** 20))) * 2 ** 20;
}

/** New connections are still taken, and sent back to the router, this long after a drain has begun, ms. */
const LINGER_MS = 300;
/** Pipelined requests that wait for the one before them, over all connections. */
const MOST_PIPELINED = 2_000;

/** The content port: serves held objects to ordinary HTTP clients, sends everybody else back to the router. */
export class ContentServer {
  readonly #parts: ContentServerParts;
  /** Compressed copies of what is held. */
  readonly encodings: Encodings;
  readonly #server: Server;
  #toNodeHttp: (socket: Socket) => void = () => undefined;
  #secure: SecurePort | null = null;
  #http2: Http2Connections | null = null;
  readonly #sources: Sources;
  readonly #decider: Decider;
  readonly #deliveries: Deliveries;
  readonly #carrier: Carrier;
  readonly #lane: Lane;
  readonly #connections: Connections;
  readonly #visitors = new WeakMap<Socket, Visitor>();
  readonly #turns = new Turns(MOST_PIPELINED);
  #draining = false;

  constructor(parts: ContentServerParts) {
    this.#parts = parts;
    const { limits, store } = parts;
    const buffers = new Buffers();
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
      buffers,
    );
    this.#decider = new Decider({ ...parts, variants: this.encodings, open: () => !this.#draining });
    this.#deliveries = new Deliveries(parts, limits.pieceMs);
    this.#carrier = new Carrier({
      ...parts,
      decider: this.#decider,
      sources: this.#sources,
      deliveries: this.#deliveries,
      buffers,
      onVariantFailed: (key, error) => this.encodings.failed(key, error),
    });
    this.#connections = new Connections(limits.maxConnections, limits.client, parts.clock);
    store.on((event) => {
      if (event.type !== 'withdrawn') return;
      this.#sources.withdraw(event.sha256, event.damaged);
      for (const coding of CODINGS) this.#sources.withdraw(keyOf(event.sha256, coding), event.damaged);
      if (event.damaged) this.#lane.cut(event.sha256);
    });
    this.#lane = new Lane({
      ...parts,
      decider: this.#decider,
      deliveries: this.#deliveries,
      files: this.#sources.files,
      pieces: this.#sources.pieces,
      toNodeHttp: (socket) => this.#toNodeHttp(socket),
      onReadFailed: (source, error) => this.#carrier.readFailed(source, error),
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
    server.on('timeout', (socket) => {
      this.#visitors.get(socket)?.reset();
      socket.destroy();
    });
    // All are seen, and too many refused: lines that are dropped in silence would be read otherwise by others.
    server.maxHeadersCount = 0;
    // A body is not read, so it is not asked for either.
    server.on('checkContinue', (request, response) => void this.#answer(request, response));
    server.on('clientError', (error, socket) => answerBadClient(error, socket, this.#turns));
    // Connections are taken up here first, whether they come plain or through TLS.
    const [toNodeHttp] = server.listeners('connection');
    server.removeAllListeners('connection');
    server.on('connection', (socket) => {
      const visitor = this.#connections.enter(socket);
      if (visitor) this.#http1(socket, visitor);
    });
    this.#toNodeHttp = (socket) => toNodeHttp?.call(server, socket);
    return server;
  }

  /** A connection that speaks HTTP/1.1, from which nothing has been read. */
  #http1(socket: Socket, visitor: Visitor): void {
    this.#visitors.set(socket, visitor);
    this.#lane.take(socket, visitor);
  }

  get connections(): number {
    return this.#connections.size;
  }

  /** Those of them that are in the fast lane. */
  get fastConnections(): number {
    return this.#lane.size;
  }

  /** Where it takes TLS; null while it does not. */
  get securePort(): number | null {
    return this.#secure?.port ?? null;
  }

  /** @returns the port it listens on */
  async listen(port: number, address: string): Promise<number> {
    await new Promise<void>((resolve, reject) => {
      this.#server.once('error', reject);
      this.#server.listen(port, address, () => resolve());
    });
    return (this.#server.address() as AddressInfo).port;
  }

  /**
   * Listens for TLS as well, as soon as there is a certificate.
   * @returns the port once it listens; null when that will be later
   */
  async listenSecurely(port: number, address: string, certificates: Certificates): Promise<number | null> {
    const { clock, limits, log } = this.#parts;
    const open = async (certificate: Certificate): Promise<number | null> => {
      if (this.#draining) return null;
      this.#http2 = await Http2Connections.open({
        ...limits,
        clock,
        answer: (outlet, request) => this.#carryOut(outlet, request, null),
      });
      const secure = new SecurePort(
        {
          enter: (socket) => this.#connections.enter(socket),
          onHttp1: (socket, visitor) => this.#http1(socket, visitor),
          onHttp2: (socket, visitor) => this.#http2?.accept(socket, visitor),
          handshakeMs: limits.headersMs,
        },
        certificate,
      );
      this.#secure = secure;
      return secure.listen(port, address);
    };
    certificates.onChange((certificate) => {
      if (this.#secure) this.#secure.use(certificate);
      else {
        open(certificate).catch((error: unknown) => {
          this.#secure = null;
          log.error({ reason: messageOf(error) }, 'the content port cannot listen for TLS');
        });
      }
    });
    return certificates.current ? open(certificates.current) : null;
  }

  /**
   * Answers a request that came through a relay.
   * @param client the address of who asks, by the relay's word
   */
  relayed(stream: ServerHttp2Stream, headers: IncomingHttpHeaders, client: string): void {
    const { ':method': method = '', ':path': target = '' } = headers;
    const visitor = this.#connections.relayed(client);
    // Nothing is read of a body; the relay forwards none.
    const plain = { ...headers, 'content-length': undefined };
    void this.#carryOut(
      new Http2Outlet(stream, visitor.client.flow),
      { method, target, headers: plain, visitor },
      null,
    );
  }

  /** Sends new requests back to the router, lets running responses end within `boundMs`, and closes. */
  async drain(boundMs: number): Promise<void> {
    this.#draining = true;
    const deadline = this.#parts.clock.monotonic() + boundMs;
    await sleep(Math.min(LINGER_MS, boundMs));
    const closed = Promise.all([
      new Promise<void>((resolve) => this.#server.close(() => resolve())),
      this.#secure?.close(),
    ]);
    this.#http2?.drain();
    this.#lane.closeIdle();
    while (this.#parts.meter.responses > 0 && this.#parts.clock.monotonic() < deadline) await sleep(20);
    this.#connections.destroyAll();
    await closed;
    this.#deliveries.close();
    await this.encodings.close();
    this.#sources.clear();
  }

  /** The disk has gone: nothing of it is to be read. */
  withdrawAll(): void {
    this.encodings.forgetAll();
    this.#sources.clear();
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    response.on('error', () => undefined);
    const turn = this.#turns.enter(request, response);
    if (turn !== true && !(await turn)) return;
    const visitor = this.#visitors.get(request.socket);
    if (!visitor) return void response.destroy();
    const { method = '', url = '', headers } = request;
    const outlet = new Http1Outlet(response, visitor);
    const fault = faultOf(request);
    await this.#carryOut(outlet, { method, target: url, headers, visitor }, fault);
  }

  async #carryOut(
    outlet: Outlet,
    request: RequestHead,
    fault: { status: number; reason: string } | null,
  ): Promise<void> {
    const { meter, log } = this.#parts;
    meter.responses++;
    try {
      const reply = fault
        ? { ...textReply(fault.status, `${fault.reason}.`), close: true }
        : this.#decider.decide(request);
      await this.#carrier.carry(outlet, reply);
    } catch (error) {
      log.error({ reason: messageOf(error) }, 'a request could not be answered');
      outlet.stream.destroy();
    } finally {
      meter.responses--;
    }
  }
}
