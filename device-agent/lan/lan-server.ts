import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import http from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Logger } from 'pino';
import type * as z from 'zod';
import { ERROR_CODES, HearthError, isHearthError, messageOf } from '#protocol/errors.ts';
import type { Activity, BoxStatus, boxContentSchema } from '#protocol/http-box.ts';
import { boxLoginSchema, pairSchema, setupSchema } from '#protocol/http-box.ts';
import type { Earnings } from '#protocol/messages.ts';
import { describe } from '#protocol/messages.ts';
import { checkHost, checkSameOrigin, cookieOf } from './guard.ts';
import type { LoginLimit } from './login-limit.ts';
import type { Password } from './password.ts';
import type { Sessions } from './sessions.ts';
import type { StaticFiles } from './static-files.ts';

/** What the dashboard is shown and may do. */
export interface BoxView {
  status: () => BoxStatus;
  content: () => z.infer<typeof boxContentSchema>;
  earnings: () => Earnings | null;
  activity: () => readonly Activity[];
  defaultFleetUrl: () => string | null;
  /** @throws HearthError why it failed */
  pair: (claimCode: string, fleetUrl: string | null) => Promise<void>;
}

export interface LanServerParts {
  view: BoxView;
  password: Password;
  sessions: Sessions;
  loginLimit: LoginLimit;
  files: StaticFiles;
  /** This machine's name. */
  ownName: string;
  log: Logger;
}

const COOKIE = 'hearth_box_session';
const MOST_BODY_BYTES = 8 * 1024;
const MOST_CONNECTIONS = 64;

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

  constructor(parts: LanServerParts) {
    this.#parts = parts;
    this.#server = http.createServer(
      { maxHeaderSize: 8 * 1024, headersTimeout: 10_000, requestTimeout: 15_000, keepAliveTimeout: 10_000 },
      (request, response) => void this.#answer(request, response),
    );
    this.#server.timeout = 60_000;
    this.#server.maxConnections = MOST_CONNECTIONS;
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
    this.#server.closeAllConnections();
    await closed;
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    response.on('error', () => undefined);
    for (const [name, value] of Object.entries(SECURITY_HEADERS)) response.setHeader(name, value);
    try {
      checkHost(request.headers.host, this.#parts.ownName);
      const [pathname = '/'] = (request.url ?? '/').split('?');
      if (pathname === '/api' || pathname.startsWith('/api/')) {
        await this.#api(request, response, pathname.slice(4));
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

  async #api(request: IncomingMessage, response: ServerResponse, path: string): Promise<void> {
    const { view, password, sessions } = this.#parts;
    const secret = cookieOf(request.headers, COOKIE);
    const route = `${request.method} ${path}`;
    if (request.method !== 'GET') checkSameOrigin(request.headers);
    switch (route) {
      case 'GET /session':
        return json(response, { setupNeeded: !password.isSet, loggedIn: sessions.isLive(secret) });
      case 'POST /setup':
        return this.#setup(request, response);
      case 'POST /login':
        return this.#login(request, response);
      case 'POST /logout':
        sessions.end(secret);
        setCookie(response, '', 0);
        return json(response, { setupNeeded: !password.isSet, loggedIn: false });
    }
    if (!sessions.isLive(secret)) throw new HearthError('not_authenticated', 'Log in first.');
    switch (route) {
      case 'GET /status':
        return json(response, view.status());
      case 'GET /content':
        return json(response, view.content());
      case 'GET /earnings':
        return json(response, { earnings: view.earnings() });
      case 'GET /activity':
        return json(response, { items: view.activity() });
      case 'GET /pair':
        return json(response, { fleetUrl: view.defaultFleetUrl() });
      case 'POST /pair': {
        const { claimCode, fleetUrl } = await readBody(request, pairSchema);
        await view.pair(claimCode, fleetUrl?.replace(/\/+$/, '') ?? null);
        return json(response, view.status());
      }
    }
    throw new HearthError('not_found', 'There is no such call.');
  }

  async #setup(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { password, sessions, log } = this.#parts;
    if (password.isSet)
      throw new HearthError('conflict', 'The password has been set already: log in with it.');
    const body = await readBody(request, setupSchema);
    await password.setOnce(body.password);
    log.info('the dashboard password was set');
    setCookie(response, sessions.begin());
    json(response, { setupNeeded: false, loggedIn: true });
  }

  async #login(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { password, sessions, loginLimit, log } = this.#parts;
    const address = request.socket.remoteAddress ?? '';
    // The whole request first: between looking at the limit and counting against it nothing may wait, or many
    // requests that are held back half sent would all be let through by one look.
    const body = await readBody(request, boxLoginSchema);
    const waitMs = loginLimit.waitMs(address);
    if (waitMs > 0) {
      const waitS = Math.ceil(waitMs / 1000);
      response.setHeader('retry-after', waitS);
      throw new HearthError('rate_limited', `Too many wrong passwords: try again in ${waitS} s.`);
    }
    if (!password.isSet) throw new HearthError('conflict', 'Set a password first.');
    loginLimit.begin(address);
    if (!(await password.matches(body.password))) {
      log.warn({ address }, 'a login failed');
      throw new HearthError('not_authenticated', 'The password is wrong.');
    }
    loginLimit.succeeded(address);
    setCookie(response, sessions.begin());
    json(response, { setupNeeded: false, loggedIn: true });
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
    json(response, { error: { code, message } }, ERROR_CODES[code]);
  }
}

function json(response: ServerResponse, value: unknown, status = 200): void {
  const body = Buffer.from(JSON.stringify(value));
  response.writeHead(status, {
    'content-type': 'application/json; charset=utf-8',
    'content-length': body.length,
    'cache-control': 'no-store',
  });
  response.end(body);
}

function setCookie(response: ServerResponse, value: string, maxAgeS = 14 * 86_400): void {
  response.setHeader(
    'set-cookie',
    `${COOKIE}=${value}; HttpOnly; SameSite=Strict; Path=/; Max-Age=${maxAgeS}`,
  );
}

async function readBody<T>(request: IncomingMessage, schema: z.ZodType<T>): Promise<T> {
  if (!/^application\/json(;|$)/.test(request.headers['content-type'] ?? '')) {
    throw new HearthError('bad_request', 'The body must be application/json.');
  }
  const pieces: Buffer[] = [];
  let bytes = 0;
  for await (const piece of request) {
    bytes += (piece as Buffer).length;
    if (bytes > MOST_BODY_BYTES) throw new HearthError('payload_too_large', 'The body is too long.');
    pieces.push(piece as Buffer);
  }
  let value: unknown;
  try {
    value = JSON.parse(Buffer.concat(pieces).toString('utf8'));
  } catch (cause) {
    throw new HearthError('bad_request', 'The body is not JSON.', { cause });
  }
  const checked = schema.safeParse(value);
  if (!checked.success) throw new HearthError('bad_request', describe(checked.error));
  return checked.data;
}
