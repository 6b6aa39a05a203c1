import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import http from 'node:http';
import type { AddressInfo } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Logger } from 'pino';
import type { AssetEntry } from '#agent/store/catalog.ts';
import type { Store } from '#agent/store/store.ts';
import type { Clock } from '#agent/time/clock.ts';
import { entityTag } from '#protocol/asset.ts';
import { handBackLink } from '#protocol/content-url.ts';
import { isHearthError, messageOf } from '#protocol/errors.ts';
import { Buffers } from './buffers.ts';
import { evaluatePreconditions, ifRangeHolds } from './conditional.ts';
import { HOT_OBJECT_BYTES, HotSet } from './hot-set.ts';
import type { ServingMeter } from './meter.ts';
import { OpenFiles } from './open-files.ts';
import { parseRange } from './range.ts';
import type { ContentTarget } from './request-target.ts';
import { originForm, parseTarget } from './request-target.ts';
import { endAndWait, sendSlice } from './send.ts';
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

const METHODS = 'GET, HEAD, OPTIONS';
/** Delivered bytes are told at the latest after this long, ms. */
const TELL_MS = 1_000;
/** New connections are still taken, and sent back to the router, this long after a drain has begun, ms. */
const LINGER_MS = 300;
/** Pipelined requests that wait for the one before them, over all connections. */
const MOST_PIPELINED = 2_000;
/** A clock that is further from the fleet's than this is not believed in a Date header, ms. */
const CLOCK_ERROR_MS = 2_000;
const CORS = [
  ['Access-Control-Allow-Origin', '*'],
  [
    'Access-Control-Expose-Headers',
    'Accept-Ranges, Content-Length, Content-Range, Date, ETag, Last-Modified',
  ],
  ['Timing-Allow-Origin', '*'],
  ['X-Content-Type-Options', 'nosniff'],
] as const;

type Headers = (readonly [string, string])[];

/** The content port: serves held objects to plain HTTP clients, sends everybody else back to the router. */
export class ContentServer {
  readonly #parts: ContentServerParts;
  readonly #server: Server;
  readonly #files: OpenFiles;
  readonly #hot: HotSet;
  readonly #buffers = new Buffers();
  readonly #turns = new Turns(MOST_PIPELINED);
  readonly #heads = new WeakMap<AssetEntry, Headers>();
  #connections = 0;
  #draining = false;

  constructor(parts: ContentServerParts) {
    this.#parts = parts;
    const { limits, store } = parts;
    this.#files = new OpenFiles((sha256) => store.openComplete(sha256), limits.openFiles);
    this.#hot = new HotSet(limits.hotBytes);
    store.on((event) => {
      if (event.type !== 'withdrawn') return;
      this.#files.withdraw(event.sha256, event.damaged);
      this.#hot.delete(event.sha256);
    });
    this.#server = http.createServer(
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
    Object.assign(this.#server, { httpAllowHalfOpen: true });
    this.#server.timeout = limits.stalledMs;
    this.#server.maxConnections = limits.maxConnections;
    this.#server.on('connection', (socket) => {
      this.#connections++;
      socket.once('close', () => this.#connections--);
    });
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
    this.#files.close();
  }

  /** The disk has gone: nothing of it is to be read. */
  withdrawAll(): void {
    this.#files.close();
    this.#hot.clear();
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { meter, log } = this.#parts;
    response.on('error', () => undefined);
    const turn = this.#turns.enter(request, response);
    if (turn !== true && !(await turn)) return;
    meter.responses++;
    try {
      this.#dateOf(response);
      // A body on a request we answer without reading it would be taken for the next request.
      if (request.headers['content-length'] || request.headers['transfer-encoding']) {
        response.shouldKeepAlive = false;
      }
      if (this.#draining) response.shouldKeepAlive = false;
      await this.#route(request, response);
    } catch (error) {
      log.error({ reason: messageOf(error) }, 'a request could not be answered');
      response.destroy();
    } finally {
      meter.responses--;
    }
  }

  async #route(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { method = '' } = request;
    const url = originForm(request.url ?? '');
    if (method !== 'GET' && method !== 'HEAD' && method !== 'OPTIONS') {
      return this.#text(response, 405, 'This port only serves content.', [['Allow', METHODS]]);
    }
    if (method === 'OPTIONS') return this.#preflight(response);
    if (url.startsWith('/_hearth/health')) return this.#health(url, response);
    const target = parseTarget(url);
    if (target === null) return this.#text(response, 404, 'Nothing is here.');
    if ('fault' in target) return this.#text(response, 400, `Bad address: ${target.fault}.`);
    let entitlement: OpenEntitlement;
    try {
      const now = this.#parts.clock.fleetNow();
      entitlement = this.#parts.tokens.open(target.token, target.siteId, target.path, now);
    } catch (error) {
      if (!isHearthError(error)) throw error;
      if (error.code === 'token_expired') return this.#redirect(response, target);
      if (error.code === 'unavailable') return this.#redirect(response, target);
      return this.#text(response, 403, `Refused: ${error.message}.`);
    }
    const asset = this.#servable(target, entitlement);
    if (!asset) return this.#redirect(response, target);
    await this.#serve(request, response, target, entitlement, asset);
  }

  /** The asset, if this box can and may serve it now. */
  #servable(target: ContentTarget, entitlement: OpenEntitlement): AssetEntry | null {
    const { store, clock } = this.#parts;
    if (this.#draining || !store.disk.readable) return null;
    if (entitlement.takenBytes >= entitlement.maxBytes) return null;
    const asset = store.catalog.find(target.siteId, target.path);
    if (asset?.object.state !== 'complete') return null;
    const now = clock.fleetNow();
    if (asset.expiresAtMs !== null && now !== null && asset.expiresAtMs <= now) return null;
    return asset;
  }

  async #serve(
    request: IncomingMessage,
    response: ServerResponse,
    target: ContentTarget,
    entitlement: OpenEntitlement,
    asset: AssetEntry,
  ): Promise<void> {
    const { sha256, sizeBytes } = asset.object;
    const validators = { etag: entityTag(sha256), lastModified: asset.headers.lastModified };
    const head = this.#headOf(asset);
    const precondition = evaluatePreconditions(request.headers, validators);
    if (precondition === 'not_modified') return this.#bare(response, 304, head);
    if (precondition === 'failed') return this.#text(response, 412, 'The content is not what was expected.');
    const isGet = request.method === 'GET';
    const mayRange = isGet && ifRangeHolds(request.headers['if-range'] as string | undefined, validators);
    const asked = mayRange ? parseRange(request.headers.range, sizeBytes) : { kind: 'whole' as const };
    if (asked.kind === 'unsatisfiable') {
      return this.#text(response, 416, 'The content has no such range.', [
        ['Content-Range', `bytes */${sizeBytes}`],
      ]);
    }
    const span = asked.kind === 'part' ? asked : { start: 0, end: sizeBytes };
    const status = asked.kind === 'part' ? 206 : 200;
    const more: Headers = [
      ['Content-Type', asset.headers.contentType],
      ['Content-Length', String(span.end - span.start)],
    ];
    if (asked.kind === 'part')
      more.push(['Content-Range', `bytes ${span.start}-${span.end - 1}/${sizeBytes}`]);
    if (!isGet || span.start === span.end) {
      if (isGet) this.#parts.meter.addRequest();
      return this.#bare(response, status, [...head, ...more]);
    }
    await this.#body(response, { target, entitlement, asset, span, status, head: [...head, ...more] });
  }

  async #body(
    response: ServerResponse,
    job: {
      target: ContentTarget;
      entitlement: OpenEntitlement;
      asset: AssetEntry;
      span: { start: number; end: number };
      status: number;
      head: Headers;
    },
  ): Promise<void> {
    const { meter } = this.#parts;
    const { asset, entitlement, span } = job;
    const { sha256 } = asset.object;
    const source = await this.#open(asset).catch((error: unknown) => {
      this.#parts.onReadFailed(sha256, error);
      return null;
    });
    if (!source) return this.#redirect(response, job.target);
    // It may have been taken out of service while it was opened.
    if (asset.object.state !== 'complete') {
      if (!Buffer.isBuffer(source)) this.#files.release(source);
      return this.#redirect(response, job.target);
    }
    // Others may have used the token up meanwhile.
    if (entitlement.takenBytes >= entitlement.maxBytes) {
      if (!Buffer.isBuffer(source)) this.#files.release(source);
      return this.#redirect(response, job.target);
    }
    meter.addRequest();
    const count = this.#counter(entitlement, asset.assetId, span.end - span.start);
    response.writeHead(job.status, job.head.flat());
    try {
      if (Buffer.isBuffer(source)) {
        const bytes = source.subarray(span.start, span.end);
        if (await endAndWait(response, bytes)) count.add(bytes.length);
        return;
      }
      const buffers = { pool: this.#buffers, responses: () => meter.responses };
      const { end, error } = await sendSlice(response, source, span, buffers, (bytes) => count.add(bytes));
      if (end === 'read_failed') {
        this.#files.withdraw(sha256);
        this.#parts.onReadFailed(sha256, error);
      }
    } finally {
      if (!Buffer.isBuffer(source)) this.#files.release(source);
      count.end();
    }
  }

  /** Bytes in memory for a small object, an open file for another. */
  async #open(asset: AssetEntry) {
    const { sha256, sizeBytes } = asset.object;
    const hot = this.#hot.get(sha256);
    if (hot) return hot;
    const file = await this.#files.acquire(sha256);
    if (sizeBytes > HOT_OBJECT_BYTES) return file;
    try {
      const bytes = Buffer.allocUnsafeSlow(sizeBytes);
      const { bytesRead } = await file.handle.read(bytes, 0, sizeBytes, 0);
      if (bytesRead < sizeBytes) throw new Error('the file is shorter than it should be');
      if (!file.withdrawn) this.#hot.set(sha256, bytes);
      return bytes;
    } finally {
      this.#files.release(file);
    }
  }

  /**
   * Counts what one response delivers, and tells it every second and at its end. All it will send is taken from
   * the entitlement at once, so that many responses side by side cannot use it many times over; what is not
   * delivered in the end is given back.
   */
  #counter(entitlement: OpenEntitlement, assetId: string, lengthBytes: number) {
    const { meter, clock, onDelivered } = this.#parts;
    entitlement.takenBytes += lengthBytes;
    let unsent = lengthBytes;
    let untold = 0;
    let toldAtMs = clock.monotonic();
    return {
      add: (bytes: number) => {
        meter.addBytes(bytes);
        unsent -= bytes;
        untold += bytes;
        const now = clock.monotonic();
        if (now - toldAtMs < TELL_MS) return;
        onDelivered(entitlement, assetId, untold, 0);
        untold = 0;
        toldAtMs = now;
      },
      end: () => {
        entitlement.takenBytes -= unsent;
        onDelivered(entitlement, assetId, untold, 1);
      },
    };
  }

  /** What every answer about an asset says (RFC 9110 section 15.4.5 wants it with 304 too). */
  #headOf(asset: AssetEntry): Headers {
    const known = this.#heads.get(asset);
    if (known) return known;
    const { cacheControl, lastModified } = asset.headers;
    const head: Headers = [...CORS, ['ETag', entityTag(asset.object.sha256)], ['Accept-Ranges', 'bytes']];
    if (cacheControl) head.push(['Cache-Control', cacheControl]);
    if (lastModified) head.push(['Last-Modified', lastModified]);
    this.#heads.set(asset, head);
    return head;
  }

  /**
   * A wrong Date makes caches keep content too long or not at all. Without a clock there is to be none (RFC 9110
   * section 6.6.1); with a wrong one the fleet's time stands in.
   */
  #dateOf(response: ServerResponse): void {
    const { clock } = this.#parts;
    const nowMs = clock.fleetNow();
    if (nowMs !== null && Math.abs(nowMs - clock.local()) < CLOCK_ERROR_MS) return;
    response.sendDate = false;
    if (nowMs !== null) response.setHeader('Date', new Date(nowMs).toUTCString());
  }

  #bare(response: ServerResponse, status: number, headers: Headers): void {
    response.writeHead(status, headers.flat());
    response.end();
  }

  #text(response: ServerResponse, status: number, text: string, headers: Headers = []): void {
    const body = Buffer.from(`${text}\n`);
    const head: Headers = [
      ...CORS,
      ...headers,
      ['Content-Type', 'text/plain; charset=utf-8'],
      ['Cache-Control', 'no-store'],
      ['Content-Length', String(body.length)],
    ];
    response.writeHead(status, head.flat());
    response.end(body);
  }

  /** Back to the router, which is told to leave this box out. */
  #redirect(response: ServerResponse, target: ContentTarget): void {
    const boxId = this.#parts.boxId();
    const routerUrl = this.#parts.routerUrl();
    if (boxId === null || routerUrl === null) {
      this.#text(response, 404, 'This box serves nothing yet.');
      return;
    }
    const location = handBackLink(routerUrl, target, boxId, target.skipped);
    this.#bare(response, 302, [
      ...CORS,
      ['Location', location],
      ['Cache-Control', 'no-store'],
      ['Content-Length', '0'],
    ]);
  }

  #preflight(response: ServerResponse): void {
    this.#bare(response, 204, [
      ['Access-Control-Allow-Origin', '*'],
      ['Access-Control-Allow-Methods', METHODS],
      [
        'Access-Control-Allow-Headers',
        'Range, If-Range, If-Match, If-None-Match, If-Modified-Since, If-Unmodified-Since',
      ],
      ['Access-Control-Max-Age', '86400'],
      ['Allow', METHODS],
    ]);
  }

  /** The fleet's dial-back: is it this box that answers here? */
  #health(url: string, response: ServerResponse): void {
    const nonce = /[?&]nonce=([\w-]{1,128})(?:&|$)/.exec(url)?.[1] ?? null;
    const body = Buffer.from(JSON.stringify({ boxId: this.#parts.boxId(), nonce }));
    const headers: Headers = [
      ['Content-Type', 'application/json'],
      ['Cache-Control', 'no-store'],
      ['Content-Length', String(body.length)],
    ];
    response.writeHead(200, headers.flat());
    response.end(body);
  }
}
