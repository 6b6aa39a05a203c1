import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import http from 'node:http';
import type { Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import type { OpenedFile } from '#agent/store/object-file.ts';
import { messageOf } from '#protocol/errors.ts';
import type { Shaper } from '#shaping/shaper.ts';
import { textReply } from './answers.ts';
import { answerBadClient } from './bad-client.ts';
import { Buffers } from './buffers.ts';
import { Carrier } from './carry.ts';
import type { Visitor } from './connections.ts';
import type { DeliveryParts } from './delivery.ts';
import { Deliveries } from './delivery.ts';
import type { Desk } from './desk.ts';
import { askDesk } from './desk.ts';
import type { Handles } from './fast-lane/handles.ts';
import { Lane } from './fast-lane/lane.ts';
import { tryHandles } from './fast-lane/try-handles.ts';
import { Http2Connections } from './http2/http2-server.ts';
import type { FrontLimits } from './limits.ts';
import type { Outlet } from './outlet.ts';
import { Http1Outlet } from './outlet.ts';
import type { RequestHead, Source } from './reply.ts';
import { faultOf } from './request-faults.ts';
import { Sources } from './sources.ts';
import type { Certificate } from './tls/certificates.ts';
import { SecurePort } from './tls/secure-port.ts';
import { Turns } from './turns.ts';

export interface FrontParts extends DeliveryParts {
  /** Where requests are decided. */
  desk: Desk;
  log: { error: (fields: Record<string, unknown>, text: string) => void };
  limits: FrontLimits;
  /** The household's line: what may be sent. */
  up: Pick<Shaper, 'take' | 'ask' | 'spend' | 'giveBack'>;
  /** What plain connections are driven by; as this Node allows if nothing is said. */
  handles?: Promise<Handles | null>;
  /** Opens an object or a variant by its key. */
  open: (key: string) => Promise<OpenedFile>;
  /** Reading an object failed. */
  onReadFailed: (sha256: string, error: unknown) => void;
  /** Reading a variant of an object failed, or it is not what was made. */
  onVariantFailed: (key: string, error: unknown) => void;
}

/** Pipelined requests that wait for the one before them, over all connections. */
const MOST_PIPELINED = 2_000;
/** How often a drain looks whether all has ended, ms. */
const LOOK_MS = 20;

/**
 * What faces the clients: speaks their protocols on connections it is given, has their requests decided, and sends
 * what was decided. It listens nowhere and knows no rule.
 */
export class Front {
  readonly #parts: FrontParts;
  readonly sources: Sources;
  readonly #server: Server;
  #toNodeHttp: (socket: Socket) => void = () => undefined;
  #secure: SecurePort | null = null;
  #securing: Promise<void> | null = null;
  #http2: Http2Connections | null = null;
  readonly #deliveries: Deliveries;
  readonly #carrier: Carrier;
  readonly #lane: Lane;
  readonly #visitors = new WeakMap<Socket, Visitor>();
  readonly #turns = new Turns(MOST_PIPELINED);

  constructor(parts: FrontParts) {
    this.#parts = parts;
    const { limits } = parts;
    const buffers = new Buffers();
    this.sources = new Sources(parts.open, limits, buffers);
    this.#deliveries = new Deliveries(parts, limits.pieceMs);
    this.#carrier = new Carrier({
      ...parts,
      decider: parts.desk,
      sources: this.sources,
      deliveries: this.#deliveries,
      buffers,
    });
    this.#lane = new Lane({
      ...parts,
      handles: parts.handles ?? tryHandles(),
      decider: parts.desk,
      deliveries: this.#deliveries,
      files: this.sources.files,
      pieces: this.sources.pieces,
      toNodeHttp: (socket) => this.#toNodeHttp(socket),
      onReadFailed: (source, error) => this.#carrier.readFailed(source, error),
    });
    this.#server = this.#makeServer(limits);
  }

  #makeServer(limits: FrontLimits): Server {
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
    const [toNodeHttp] = server.listeners('connection');
    this.#toNodeHttp = (socket) => toNodeHttp?.call(server, socket);
    // It never listens itself, and begins to watch the time of its requests with this event.
    server.emit('listening');
    return server;
  }

  /** Connections that are in the fast lane. */
  get fastConnections(): number {
    return this.#lane.size;
  }

  /** Takes a connection from which nothing has been read; through TLS only once there is a certificate. */
  take(socket: Socket, visitor: Visitor, isSecure: boolean): void {
    if (!isSecure) this.#http1(socket, visitor);
    else if (this.#secure) this.#secure.take(socket, visitor);
    else socket.destroy();
  }

  /** Takes TLS from now on; with another certificate later, new connections use that. */
  async secure(certificate: Certificate, ticketKeys: Buffer | null = null): Promise<void> {
    if (this.#secure) this.#secure.use(certificate);
    else {
      this.#securing ??= this.#beginTls(certificate, ticketKeys);
      await this.#securing;
    }
  }

  async #beginTls(certificate: Certificate, ticketKeys: Buffer | null): Promise<void> {
    this.#http2 = await Http2Connections.open({
      ...this.#parts.limits,
      clock: this.#parts.clock,
      answer: (outlet, request) => this.carryOut(outlet, request),
    });
    this.#secure = new SecurePort(
      {
        onHttp1: (socket, visitor) => this.#http1(socket, visitor),
        onHttp2: (socket, visitor) => this.#http2?.accept(socket, visitor),
        handshakeMs: this.#parts.limits.headersMs,
      },
      certificate,
      ticketKeys,
    );
  }

  /** A connection that speaks HTTP/1.1, from which nothing has been read. */
  #http1(socket: Socket, visitor: Visitor): void {
    this.#visitors.set(socket, visitor);
    this.#lane.take(socket, visitor);
  }

  /** These bytes must not be read any more by new responses; `damaged`: nor sent by those under way. */
  withdraw(key: string, damaged: boolean): void {
    this.sources.withdraw(key, damaged);
    if (damaged) this.#lane.cut(key);
  }

  /** An object or a variant could not be read, here or elsewhere. */
  readFailed(source: Pick<Source, 'key' | 'sha256'>, error: unknown): void {
    this.#carrier.readFailed(source, error);
  }

  /** Ends connections on which nothing is under way, and waits until the responses have ended or the time has come. */
  async drain(deadlineMs: number): Promise<void> {
    const { meter, clock } = this.#parts;
    this.#http2?.drain();
    this.#lane.closeIdle();
    this.#server.closeIdleConnections();
    while (meter.responses > 0 && clock.monotonic() < deadlineMs) await sleep(LOOK_MS);
  }

  /** After the last connection. */
  close(): void {
    this.#server.close();
    this.#deliveries.close();
    this.sources.clear();
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
    await this.carryOut(outlet, { method, target: url, headers, visitor }, fault);
  }

  /** Has a request decided and carries it out; `fault`: what is wrong with it, which nobody has to decide. */
  async carryOut(
    outlet: Outlet,
    request: RequestHead,
    fault: { status: number; reason: string } | null = null,
  ): Promise<void> {
    const { meter, log, desk } = this.#parts;
    meter.responses++;
    try {
      const reply = fault
        ? { ...textReply(fault.status, `${fault.reason}.`), close: true }
        : await askDesk(desk, request);
      // The client may have gone meanwhile.
      if (reply && !outlet.stream.destroyed) await this.#carrier.carry(outlet, reply);
      else if (reply?.body?.kind === 'object') desk.forgo(reply.body);
      else outlet.stream.destroy();
    } catch (error) {
      log.error({ reason: messageOf(error) }, 'a request could not be answered');
      outlet.stream.destroy();
    } finally {
      meter.responses--;
    }
  }
}
