import type { Http2Server, IncomingHttpHeaders, ServerHttp2Session, ServerHttp2Stream } from 'node:http2';
import type { TLSSocket } from 'node:tls';
import type { Clock } from '#agent/time/clock.ts';
import type { Visitor } from '../connections.ts';
import type { Outlet } from '../outlet.ts';
import { Http2Outlet } from '../outlet.ts';
import type { RequestHead } from '../reply.ts';
import { Patience } from './abuse.ts';

export interface Http2Parts {
  clock: Clock;
  /** A connection without a request is kept for this long, ms. */
  idleMs: number;
  /** One on which nothing goes either way in spite of requests, ms. */
  stalledMs: number;
  /** Answers a request; resolves when it has been answered or cut. */
  answer: (outlet: Outlet, request: RequestHead) => Promise<void>;
}

/** Streams of one connection at once; a page's worth. */
const MOST_STREAMS = 100;
/** Of these so many are answered at once, and hold a buffer and a file each; the others wait. */
const MOST_ANSWERED = 16;
/** Header fields of a request, and all of them in bytes: what HTTP/1.1 is held to. */
const MOST_FIELDS = 100;
const MOST_HEADER_BYTES = 16 * 1024;
/** Streams a client may break off: seeking in a video breaks off a few a second (CVE-2023-44487 thousands). */
const RESETS = { burst: 200, perSecond: 20 };
/** What is taken of a body nobody reads, bytes, and for how long, ms. */
const MOST_DISCARDED_BYTES = 64 * 1024;
const DISCARD_MS = 1_000;
/** Time for the last word to a client that is cut off, ms. */
const GOODBYE_MS = 100;
/** SETTINGS and PING frames, each of which must be answered (CVE-2019-9512, CVE-2019-9515). */
const CHATTER = { burst: 100, perSecond: 10 };

/**
 * HTTP/2 on connections that agreed to it (RFC 9113): each stream is decided and carried out as a request of
 * HTTP/1.1 is. Bodies of requests are not read.
 */
export class Http2Connections {
  readonly #parts: Http2Parts;
  readonly #server: Http2Server;
  readonly #constants: typeof import('node:http2').constants;
  readonly #sessions = new Set<ServerHttp2Session>();

  /** Loads node:http2, which costs a megabyte or two, only when there is use for it. */
  static async open(parts: Http2Parts): Promise<Http2Connections> {
    return new Http2Connections(parts, await import('node:http2'));
  }

  private constructor(parts: Http2Parts, http2: typeof import('node:http2')) {
    this.#parts = parts;
    this.#constants = http2.constants;
    this.#server = http2.createServer({
      maxSessionInvalidFrames: 100,
      maxHeaderListPairs: MOST_FIELDS,
      settings: {
        enablePush: false,
        maxConcurrentStreams: MOST_STREAMS,
        maxHeaderListSize: MOST_HEADER_BYTES,
        // Nobody is to send us anything.
        initialWindowSize: 16 * 1024,
      },
    });
    this.#server.on('sessionError', () => undefined);
  }

  /** Speaks HTTP/2 on a connection, from which nothing has been read. */
  accept(socket: TLSSocket, visitor: Visitor): void {
    const begun = (session: ServerHttp2Session) => this.#watch(session, visitor);
    this.#server.once('session', begun);
    this.#server.emit('connection', socket);
    this.#server.off('session', begun);
  }

  /** No new streams; those under way go on (RFC 9113 section 6.8). */
  drain(): void {
    for (const session of this.#sessions) if (!session.closed) session.close();
  }

  #watch(session: ServerHttp2Session, visitor: Visitor): void {
    const { clock, idleMs, stalledMs } = this.#parts;
    const now = clock.monotonic();
    const resets = new Patience(RESETS.burst, RESETS.perSecond, now);
    const chatter = new Patience(CHATTER.burst, CHATTER.perSecond, now);
    const { NGHTTP2_ENHANCE_YOUR_CALM, NGHTTP2_NO_ERROR } = this.#constants;
    const calm = () => {
      if (session.destroyed) return;
      session.destroy(NGHTTP2_ENHANCE_YOUR_CALM as unknown as Error);
      // A client that floods need not be waited for to close its side.
      setTimeout(visitor.reset, GOODBYE_MS).unref();
    };
    const noise = () => {
      if (!chatter.spend(clock.monotonic())) calm();
    };
    let answered = 0;
    const waiting: (() => void)[] = [];
    const turn = async () => {
      if (answered === MOST_ANSWERED) return new Promise<void>((resolve) => waiting.push(resolve));
      if (answered++ === 0) session.setTimeout(stalledMs);
    };
    const leave = () => {
      const next = waiting.shift();
      if (next) next();
      else if (--answered === 0 && !session.destroyed) session.setTimeout(idleMs);
    };
    this.#sessions.add(session);
    session.once('close', () => this.#sessions.delete(session));
    session.on('error', () => undefined);
    session.on('remoteSettings', noise);
    session.on('ping', noise);
    session.setTimeout(idleMs, () => {
      if (answered === 0) session.close();
      else session.destroy();
    });
    session.on('stream', (stream, headers, flags) => {
      stream.on('error', () => undefined);
      stream.once('close', () => {
        // Broken off by the client: work that was begun for nothing.
        if (stream.rstCode !== NGHTTP2_NO_ERROR && !resets.spend(clock.monotonic())) calm();
      });
      const hasBody = (flags & this.#constants.NGHTTP2_FLAG_END_STREAM) === 0;
      if (!hasBody) stream.resume();
      void turn()
        .then(() => (stream.destroyed ? undefined : this.#answer(stream, headers, visitor)))
        .finally(() => {
          if (hasBody && !stream.destroyed) this.#discard(stream);
          leave();
        });
    });
  }

  /** Lets a client end a body that nobody reads, within bounds: reset at once it could miss its answer. */
  #discard(stream: ServerHttp2Stream): void {
    const stop = () => stream.close(this.#constants.NGHTTP2_NO_ERROR);
    let left = MOST_DISCARDED_BYTES;
    stream.on('data', (piece: Buffer) => {
      left -= piece.length;
      if (left < 0) stop();
    });
    const timer = setTimeout(stop, DISCARD_MS).unref();
    stream.once('close', () => clearTimeout(timer));
  }

  async #answer(stream: ServerHttp2Stream, headers: IncomingHttpHeaders, visitor: Visitor): Promise<void> {
    const { ':method': method = '', ':path': target = '', ':authority': authority, host } = headers;
    if (host !== undefined && authority !== undefined && host.toLowerCase() !== authority.toLowerCase()) {
      // RFC 9113 section 8.3.1: malformed, and a stream error.
      stream.close(this.#constants.NGHTTP2_PROTOCOL_ERROR);
      return;
    }
    if (bytesOf(headers) > MOST_HEADER_BYTES) {
      // What the settings say is advice, which nothing enforces.
      stream.respond({ ':status': 431 }, { endStream: true });
      return;
    }
    // A body is framed by its stream here and disturbs no other request.
    const plain = { ...headers, 'content-length': undefined };
    const outlet = new Http2Outlet(stream, visitor.client.flow);
    await this.#parts.answer(outlet, { method, target, headers: plain, visitor });
  }
}

/** As SETTINGS_MAX_HEADER_LIST_SIZE counts them (RFC 9113 section 6.5.2). */
function bytesOf(headers: IncomingHttpHeaders): number {
  let bytes = 0;
  for (const [name, value] of Object.entries(headers)) bytes += name.length + String(value).length + 32;
  return bytes;
}
