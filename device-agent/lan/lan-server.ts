import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import http from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import { Duplex } from 'node:stream';
import type { Logger } from 'pino';
import type { AwayVisitor } from '#agent/away/away.ts';
import { plainAddress } from '#protocol/addresses.ts';
import { ERROR_CODES, HearthError, isHearthError, messageOf } from '#protocol/errors.ts';
import type { Routes } from './api.ts';
import { SESSION_COOKIE, sendJson } from './api.ts';
import { awayRoutes, boxRoutes, diskRoutes, settingsRoutes } from './box-routes.ts';
import type { BoxView } from './box-view.ts';
import { diagnosticsRoutes } from './diagnostics.ts';
import { doorRoutes, openRoutes } from './door-routes.ts';
import { EventStreams } from './events.ts';
import { checkAwayHost, checkHost, checkSameOrigin, cookieOf } from './guard.ts';
import type { LoginLimit } from './login-limit.ts';
import type { Password } from './password.ts';
import type { Sessions } from './sessions.ts';
import type { StaticFiles } from './static-files.ts';

export interface LanServerParts {
  view: BoxView;
  password: Password;
  sessions: Sessions;
  loginLimit: LoginLimit;
  files: StaticFiles;
  /** This machine's name. */
  ownName: string;
  log: Logger;
  /** The password was set, for the first time or anew, from there. */
  onPasswordSet: (address: string) => void;
}

const MOST_CONNECTIONS = 64;
/** One device must not keep the others of the household out. */
const MOST_PER_ADDRESS = 24;

/** Who has got hold of a key from away must not be able to take the box over with it. */
const AT_HOME_ONLY = new Set(['POST /setup', 'POST /password', 'POST /pair', 'POST /away']);

const SECURITY_HEADERS = {
  'content-security-policy':
    "default-src 'self'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; " +
    "object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
  'x-content-type-options': 'nosniff',
  'x-frame-options': 'DENY',
  'referrer-policy': 'no-referrer',
  'cross-origin-opener-policy': 'same-origin',
  'cross-origin-resource-policy': 'same-origin',
  'permissions-policy': 'camera=(), microphone=(), geolocation=()',
} as const;

/** The household's page and its API, on the LAN. */
export class LanServer {
  readonly #parts: LanServerParts;
  readonly #server: Server;
  readonly #events: EventStreams;
  /** Open ones by address. */
  readonly #connections = new Map<string, number>();
  /** Connections that relays brought. */
  readonly #away = new WeakMap<Duplex, AwayVisitor>();
  /** Answered to anyone on the LAN. */
  readonly #open: Map<string, Routes[string]>;
  /** Answered to those who are logged in. */
  readonly #inside: Map<string, Routes[string]>;

  constructor(parts: LanServerParts) {
    this.#parts = parts;
    const { view } = parts;
    this.#events = new EventStreams(view, parts.sessions);
    this.#open = new Map(Object.entries(openRoutes(parts)));
    this.#inside = new Map(
      Object.entries({
        ...doorRoutes(parts),
        ...boxRoutes(view),
        ...settingsRoutes(view),
        ...diskRoutes(view),
        ...awayRoutes(view),
        ...diagnosticsRoutes(view),
        'GET /events': (call) => this.#events.open(call),
      } satisfies Routes),
    );
    this.#server = http.createServer(
      { maxHeaderSize: 8 * 1024, headersTimeout: 10_000, requestTimeout: 15_000, keepAliveTimeout: 10_000 },
      (request, response) => void this.#answer(request, response),
    );
    this.#server.timeout = 60_000;
    this.#server.maxConnections = MOST_CONNECTIONS;
    this.#server.on('connection', (socket) => this.#admit(socket));
  }

  #admit(socket: Socket): void {
    if (this.#away.has(socket)) return;
    const address = socket.remoteAddress ?? '';
    const open = (this.#connections.get(address) ?? 0) + 1;
    if (open > MOST_PER_ADDRESS) {
      socket.destroy();
      return;
    }
    this.#connections.set(address, open);
    socket.once('close', () => {
      const left = (this.#connections.get(address) ?? 1) - 1;
      if (left > 0) this.#connections.set(address, left);
      else this.#connections.delete(address);
    });
  }

  /** Takes a connection that a relay has brought from who is away from home. */
  takeAway(connection: Duplex, visitor: AwayVisitor): void {
    // Not the stream itself: http writes text, and of text written to an HTTP/2 stream Node breaks the first bytes.
    const plain = Duplex.from({ readable: connection, writable: connection });
    this.#away.set(plain, visitor);
    this.#server.emit('connection', plain);
  }

  /** @returns the port it listens on */
  async listen(port: number, address: string): Promise<number> {
    await new Promise<void>((resolve, reject) => {
      this.#server.once('error', reject);
      this.#server.listen(port, address, () => resolve());
    });
    return (this.#server.address() as AddressInfo).port;
  }

  async close(): Promise<void> {
    const closed = new Promise<void>((resolve) => this.#server.close(() => resolve()));
    this.#events.close();
    this.#server.closeAllConnections();
    await closed;
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    response.on('error', () => undefined);
    for (const [name, value] of Object.entries(SECURITY_HEADERS)) response.setHeader(name, value);
    try {
      // Two of them are none (RFC 9112, 3.2).
      const [host, ...more] = request.headersDistinct.host ?? [];
      const visitor = this.#away.get(request.socket);
      if (visitor) checkAwayHost(more.length > 0 ? undefined : host, visitor.host);
      else checkHost(more.length > 0 ? undefined : host, this.#parts.ownName);
      const [pathname = '/', query = ''] = (request.url ?? '/').split('?', 2);
      if (pathname === '/api' || pathname.startsWith('/api/')) {
        await this.#api(request, response, pathname.slice(4), new URLSearchParams(query));
        return;
      }
      if (request.method !== 'GET' && request.method !== 'HEAD') {
        throw new HearthError('bad_request', 'Only GET is taken here.');
      }
      await this.#parts.files.serve(request, response, pathname);
    } catch (error) {
      this.#fail(response, error);
    }
  }

  async #api(
    request: IncomingMessage,
    response: ServerResponse,
    path: string,
    query: URLSearchParams,
  ): Promise<void> {
    const secret = cookieOf(request.headers, SESSION_COOKIE);
    const route = `${request.method} ${path}`;
    const visitor = this.#away.get(request.socket);
    if (visitor && AT_HOME_ONLY.has(route)) {
      throw new HearthError('forbidden', 'This is done at home, from the network of the box.');
    }
    if (request.method !== 'GET') checkSameOrigin(request.headers);
    const open = this.#open.get(route);
    if (!open && !this.#parts.sessions.isLive(secret))
      throw new HearthError('not_authenticated', 'Log in first.');
    const handle = open ?? this.#inside.get(route);
    if (!handle) throw new HearthError('not_found', 'There is no such call.');
    const { remoteAddress = '' } = request.socket;
    const address = visitor?.address ?? plainAddress(remoteAddress) ?? remoteAddress;
    const gone = new AbortController();
    response.on('close', () => gone.abort());
    const answer = await handle({ request, response, address, query, secret, signal: gone.signal });
    if (answer !== undefined) sendJson(response, answer);
  }

  #fail(response: ServerResponse, error: unknown): void {
    if (response.headersSent) {
      response.destroy();
      return;
    }
    const code = isHearthError(error) ? error.code : 'internal';
    if (code === 'internal') this.#parts.log.error({ reason: messageOf(error) }, 'a LAN request failed');
    // A body left unread would be taken for the next request.
    response.shouldKeepAlive = false;
    const message =
      code === 'internal' ? 'Something went wrong; the log of the box says what.' : messageOf(error);
    sendJson(response, { error: { code, message } }, ERROR_CODES[code]);
  }
}
