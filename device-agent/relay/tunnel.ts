import type { IncomingHttpHeaders, ServerHttp2Session, ServerHttp2Stream } from 'node:http2';
import { isIP } from 'node:net';
import type { Duplex } from 'node:stream';
import type { AwayVisitor } from '#agent/away/away.ts';
import type { Identity } from '#agent/identity/identity.ts';
import { dialFleet, hostAndPort } from '#agent/link/dial.ts';
import { CLIENT_ADDRESS_HEADER, DASHBOARD_HEADER, RELAY_ALPN } from '#protocol/relay.ts';

export interface TunnelParts {
  identity: Identity;
  /** The local clock, ms since 1970. */
  nowMs: () => number;
  /** A client's request that the relay forwards; `client` is its address, by the relay's word. */
  onRequest: (stream: ServerHttp2Stream, headers: IncomingHttpHeaders, client: string) => void;
  /** A client's own connection, carried unread; null while this box has nothing that speaks TLS to clients. */
  onConnection: ((connection: Duplex, client: string) => void) | null;
  /** The dashboard for who is away from home; absent: this box has none to show. */
  onDashboard?: DashboardDoor;
  /** When a relay that says nothing is asked, and how long it may take to answer, ms. */
  patience?: { silentMs: number; answerMs: number };
}

export interface DashboardDoor {
  /** @returns the status the relay is answered with; 200: `serve` gets the connection */
  admit: (visitor: AwayVisitor) => number;
  serve: (connection: Duplex, visitor: AwayVisitor) => void;
}

const DIAL_MS = 15_000;
/** After so long without a request the relay is asked whether it is there, ms: Node does not tell of its pings. */
const SILENT_MS = 60_000;
/** It has this long to answer, ms. */
const ANSWER_MS = 20_000;
const RELAY_PORT = 7443;
/** Streams the relay may open at once: each costs memory here. */
const MOST_STREAMS = 256;

/** One connection to a relay, from dialling to its end. */
export class Tunnel {
  readonly url: string;
  /** How long dialling took, ms: the nearest relay is the best. */
  readonly dialMs: number;
  /** Resolves when the connection is over. */
  readonly closed: Promise<void>;
  /** Resolves when the relay asks us to go elsewhere, or the connection is over. */
  readonly leaving: Promise<void>;
  readonly #session: ServerHttp2Session;
  readonly #socket: Duplex;

  /**
   * Dials a relay and serves it.
   * @param url `tls://host:port`
   * @throws HearthError `unavailable`, with the reason
   */
  static async dial(url: string, parts: TunnelParts, signal: AbortSignal): Promise<Tunnel> {
    const { identity, nowMs } = parts;
    const { caCertificate, certificate, privateKey } = identity;
    const begun = performance.now();
    const socket = await dialFleet(
      {
        peer: 'relay',
        ...hostAndPort(url, RELAY_PORT),
        protocol: RELAY_ALPN,
        caCertificate,
        certificate,
        privateKey,
        nowMs: nowMs(),
        timeoutMs: DIAL_MS,
      },
      signal,
    );
    const dialMs = performance.now() - begun;
    // Loaded only by boxes that need a relay: it takes memory.
    const { createServer } = await import('node:http2');
    const server = createServer({
      settings: { maxConcurrentStreams: MOST_STREAMS, maxHeaderListSize: 16 * 1024 },
      // What is being sent counts, and is bounded where it is read: beyond this, new streams would be refused.
      maxSessionMemory: 256,
      maxOutstandingPings: 4,
    });
    server.on('stream', (stream, headers) => {
      stream.on('error', () => undefined);
      const client = clientOf(headers);
      const host = headers[DASHBOARD_HEADER];
      if (headers[':method'] !== 'CONNECT') parts.onRequest(stream, headers, client);
      else if (host !== undefined) openDashboard(stream, { host: String(host), address: client }, parts);
      else if (!parts.onConnection) stream.respond({ ':status': 503 }, { endStream: true });
      else {
        stream.respond({ ':status': 200 });
        parts.onConnection(stream, client);
      }
    });
    const opened = new Promise<ServerHttp2Session>((resolve) => server.once('session', resolve));
    // The way node:http2 serves a socket it did not accept itself, in the oldest Node a box may have.
    server.emit('connection', socket);
    return new Tunnel(url, dialMs, await opened, socket, parts.patience);
  }

  private constructor(
    url: string,
    dialMs: number,
    session: ServerHttp2Session,
    socket: Duplex,
    patience = { silentMs: SILENT_MS, answerMs: ANSWER_MS },
  ) {
    this.url = url;
    this.dialMs = dialMs;
    this.#session = session;
    this.#socket = socket;
    session.on('error', () => undefined);
    session.setTimeout(patience.silentMs);
    session.on('timeout', () => this.#ask(patience));
    this.closed = new Promise((resolve) => {
      session.once('close', () => resolve());
      socket.once('close', () => resolve());
    });
    this.leaving = Promise.race([
      this.closed,
      new Promise<void>((resolve) => session.once('goaway', () => resolve())),
    ]);
  }

  /** Tells the relay to send nothing new, and ends once what runs has ended. */
  retire(): void {
    if (!this.#session.closed) this.#session.close();
  }

  destroy(): void {
    this.#session.destroy();
    // A session that is destroyed in the middle of a write waits for it, and that may be for ever.
    this.#socket.destroy();
  }

  /** Whether the relay is still there; it is left when it does not answer. */
  #ask({ silentMs, answerMs }: { silentMs: number; answerMs: number }): void {
    const session = this.#session;
    if (session.destroyed) return;
    const tooLate = setTimeout(() => this.destroy(), answerMs);
    tooLate.unref();
    session.ping((error) => {
      clearTimeout(tooLate);
      if (error) this.destroy();
      // Its answer does not set the time anew.
      else session.setTimeout(silentMs);
    });
  }
}

function openDashboard(stream: ServerHttp2Stream, visitor: AwayVisitor, { onDashboard }: TunnelParts): void {
  const status = onDashboard?.admit(visitor) ?? 403;
  stream.respond({ ':status': status }, { endStream: status !== 200 });
  if (status !== 200) return;
  stream.setTimeout(SILENT_MS, () => stream.close());
  onDashboard?.serve(stream, visitor);
}

function clientOf(headers: IncomingHttpHeaders): string {
  const value = headers[CLIENT_ADDRESS_HEADER];
  return typeof value === 'string' && isIP(value) !== 0 ? value : '';
}
