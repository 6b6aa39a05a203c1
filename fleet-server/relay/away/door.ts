import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Logger } from 'pino';
import type { ErrorCode } from '#protocol/errors.ts';
import { ERROR_CODES, messageOf } from '#protocol/errors.ts';
import { dashboardTarget, dashboardUrl } from '#protocol/relay.ts';
import { flowOfAddress } from '#shaping/shaper.ts';
import { DOOR_CSP, type KeyFault, loginPage, type Notice, noticePage } from './door-pages.ts';
import type { PageFile } from './pages.ts';
import { Rate } from './rate.ts';
import type { AwaySessions } from './sessions.ts';
import { boxCookieName, callThrough, type Refusal, type ThroughParts } from './through.ts';

export interface AwayDoorParts extends ThroughParts {
  sessions: AwaySessions;
  /** The dashboard's files; empty where it has not been built. */
  pages: ReadonlyMap<string, PageFile>;
  /** This relay's own, `https://relay.example.org`. */
  base: string;
  /** Another relay that carries the dashboard of a box that is not here: its own base; null: none does. */
  elsewhere: (boxId: string) => Promise<string | null>;
  log: Logger;
  /** Milliseconds that only grow. */
  now: () => number;
}

/**
 * All boxes' cookies are kept for the relay's whole host, each box's under its own name: what begins with `__Host-` can
 * be set by this very host over TLS alone (RFC 6265bis, 4.1.3.2), so by no box whose name lies beside the relay's.
 */
const cookieName = (boxId: string) => `__Host-hearth_away_${boxId}`;
const MOST_FORM_BYTES = 1024;
/** Calls under way for one box: events, and what a page asks for at once. */
const MOST_CALLS = 24;
/** Sessions of open answers are looked at again this often, ms. */
const RECHECK_MS = 5_000;

const PAGE_CSP =
  "default-src 'self'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; " +
  "object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'";
const ANSWER_CSP = "default-src 'none'; frame-ancestors 'none'; sandbox";

const REFUSALS: Record<Refusal, [ErrorCode, string]> = {
  not_here: ['unavailable', 'The box is not connected to this relay now.'],
  busy: ['unavailable', 'The box is busy: this is tried again.'],
  switched_off: ['forbidden', 'This was switched off at home.'],
  no_answer: ['unavailable', 'The box did not answer.'],
  too_long: ['payload_too_large', 'More is sent than a box takes, or its length is not told.'],
};

const SAID: Record<Notice, [ErrorCode, string]> = {
  nothing: ['not_found', 'There is nothing here.'],
  busy: ['rate_limited', 'Too many requests.'],
  offline: REFUSALS.not_here,
  trouble: ['unavailable', 'This cannot be answered now: try again in a moment.'],
  unbuilt: ['unavailable', 'The dashboard has not been built on this relay.'],
};

/** One answer under way. */
interface Open {
  boxId: string;
  secret: string;
  response: ServerResponse;
}

/**
 * `https://<relay>/my/<box id>/`: a box's dashboard for its household away from home, once the key was shown that the
 * household made. The page is the fleet's own build; only calls of the API go to the box, which asks for its password.
 */
export class AwayDoor {
  readonly #parts: AwayDoorParts;
  readonly #origin: string;
  readonly #host: string;
  readonly #open = new Set<Open>();
  readonly #logins: Rate;
  readonly #looks: Rate;
  readonly #calls: Rate;
  readonly #timer: NodeJS.Timeout;

  constructor(parts: AwayDoorParts) {
    this.#parts = parts;
    const url = new URL(parts.base);
    this.#origin = url.origin;
    this.#host = url.host;
    this.#logins = new Rate({ perSecond: 0.1, burst: 10, most: 20_000 }, parts.now);
    this.#looks = new Rate({ perSecond: 40, burst: 300, most: 20_000 }, parts.now);
    this.#calls = new Rate({ perSecond: 20, burst: 100, most: 20_000 }, parts.now);
    this.#timer = setInterval(() => void this.recheck(), RECHECK_MS);
    this.#timer.unref();
  }

  close(): void {
    clearInterval(this.#timer);
    for (const { response } of this.#open) response.destroy();
  }

  /** Ends the answers of sessions that are over: the key was replaced, the box revoked, somebody logged out. */
  async recheck(): Promise<void> {
    for (const open of [...this.#open]) {
      const live = await this.#parts.sessions.isLive(open.boxId, open.secret).catch(() => true);
      if (!live) open.response.destroy();
    }
  }

  /** Answers a request under `/my/`. */
  answer(request: IncomingMessage, response: ServerResponse): void {
    response.on('error', () => undefined);
    for (const [name, value] of Object.entries({
      'content-security-policy': ANSWER_CSP,
      'x-content-type-options': 'nosniff',
      'x-frame-options': 'DENY',
      'referrer-policy': 'no-referrer',
      'cross-origin-opener-policy': 'same-origin',
      'cross-origin-resource-policy': 'same-origin',
      'permissions-policy': 'camera=(), microphone=(), geolocation=()',
    })) {
      response.setHeader(name, value);
    }
    this.#route(request, response).catch((error: unknown) => {
      this.#parts.log.warn({ err: messageOf(error) }, 'a request for a dashboard failed');
      if (response.headersSent) response.destroy();
      else this.#say(request, response, 'trouble');
    });
  }

  async #route(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const target = dashboardTarget(request.url ?? '');
    const [host, ...more] = request.headersDistinct.host ?? [];
    const isOurs = more.length === 0 && host?.toLowerCase() === this.#host;
    if (!target || !isOurs) return this.#say(request, response, 'nothing');
    const { boxId, path } = target;
    const [pathname = ''] = path.split('?', 1);
    if (pathname === '') return redirect(response, dashboardUrl(this.#parts.base, boxId));
    // Only the page itself may be asked for from elsewhere, by a link: all the rest is asked for by that page.
    const changes = request.method !== 'GET' && request.method !== 'HEAD';
    if (changes && request.headers.origin !== this.#origin) {
      return refuse(response, 'forbidden', 'The request comes from another site.');
    }
    if (pathname === '/login' && request.method === 'POST') return this.#login(request, response, boxId);
    const client = request.socket.remoteAddress ?? '';
    // Each look at a session that is not known costs the database a query.
    if (!this.#looks.may(flowOfAddress(client))) {
      response.setHeader('retry-after', '2');
      return this.#say(request, response, 'busy');
    }
    // A browser that says so (Fetch Metadata): only the dashboard's own page asks for what lies below it.
    const site = request.headers['sec-fetch-site'];
    const isVisit = pathname === '/' && request.headers['sec-fetch-mode'] === 'navigate';
    if (site !== undefined && site !== 'same-origin' && site !== 'none' && !isVisit) {
      return refuse(response, 'forbidden', 'The request comes from another site.');
    }
    const secret = cookieOf(request, cookieName(boxId));
    const live = secret !== null && (await this.#parts.sessions.isLive(boxId, secret));
    if (pathname.startsWith('/api/')) {
      if (!live) return refuse(response, 'not_authenticated', 'Show the key first: load the page again.');
      return this.#call(request, response, { boxId, path, secret, pathname });
    }
    if (changes) return this.#say(request, response, 'nothing');
    if (!live)
      return this.#askKey(request, response, { boxId, pathname, fault: secret === null ? null : 'ended' });
    return this.#page(request, response, boxId, pathname.slice(1) || 'index.html');
  }

  async #login(request: IncomingMessage, response: ServerResponse, boxId: string): Promise<void> {
    const client = request.socket.remoteAddress ?? '';
    const form = await readForm(request);
    // An IPv6 household has many addresses.
    const network = flowOfAddress(client);
    if (!this.#logins.may(network))
      return this.#askKey(request, response, { boxId, pathname: '/', fault: 'slow' });
    const key = form?.get('key') ?? '';
    const secret = key === '' ? null : await this.#parts.sessions.begin(boxId, key, client);
    if (secret === null) return this.#askKey(request, response, { boxId, pathname: '/', fault: 'wrong' });
    this.#logins.refund(network);
    const before = cookieOf(request, cookieName(boxId));
    // Who comes in anew has left what was open before: nobody will look for that one any more.
    if (before !== null) await this.#parts.sessions.end(boxId, before);
    response.setHeader('set-cookie', cookieFor(boxId, secret, 12 * 3_600));
    return redirect(response, dashboardUrl(this.#parts.base, boxId));
  }

  #askKey(
    request: IncomingMessage,
    response: ServerResponse,
    { boxId, pathname, fault }: { boxId: string; pathname: string; fault: KeyFault | null },
  ): void {
    if (pathname !== '/') {
      refuse(response, 'not_authenticated', 'Show the key first.');
      return;
    }
    if (fault === 'slow') response.setHeader('retry-after', '60');
    if (fault === 'ended') response.setHeader('set-cookie', cookieFor(boxId, '', 0));
    const page = loginPage(request.headers['accept-language'], boxId, fault);
    show(response, fault === 'slow' ? 429 : fault === 'wrong' ? 403 : 200, page);
  }

  /** There is nothing to be shown: a page for who looks, JSON for what calls. */
  #say(request: IncomingMessage, response: ServerResponse, notice: Notice): void {
    const [code, message] = SAID[notice];
    if (!/^text\/html\b/.test(request.headers.accept ?? '')) {
      refuse(response, code, message);
      return;
    }
    response.shouldKeepAlive = false;
    show(response, ERROR_CODES[code], noticePage(request.headers['accept-language'], notice));
  }

  async #page(
    request: IncomingMessage,
    response: ServerResponse,
    boxId: string,
    name: string,
  ): Promise<void> {
    const { pages, tunnels, elsewhere } = this.#parts;
    const page = pages.get(name);
    if (!page) return this.#say(request, response, pages.size === 0 ? 'unbuilt' : 'nothing');
    if (name === 'index.html' && !tunnels.has(boxId)) {
      const other = await elsewhere(boxId);
      if (other !== null) return redirect(response, dashboardUrl(other, boxId));
      return this.#say(request, response, 'offline');
    }
    response.setHeader('content-security-policy', PAGE_CSP);
    const zipped = /(^|,)\s*gzip\s*(,|$)/.test(String(request.headers['accept-encoding'] ?? ''))
      ? page.gzip
      : null;
    if (zipped) response.setHeader('content-encoding', 'gzip');
    response.setHeader('vary', 'accept-encoding');
    // Private: what lies between has no business with it.
    response.setHeader('cache-control', page.hashed ? 'private, max-age=31536000, immutable' : 'no-cache');
    send(response, 200, page.type, zipped ?? page.body, request.method === 'HEAD');
  }

  #call(
    request: IncomingMessage,
    response: ServerResponse,
    { boxId, path, secret, pathname }: { boxId: string; path: string; secret: string; pathname: string },
  ): void {
    const under = [...this.#open].filter((one) => one.boxId === boxId).length;
    if (under >= MOST_CALLS || !this.#calls.may(secret)) {
      response.setHeader('retry-after', '1');
      refuse(response, 'rate_limited', 'Too many requests at once.');
      return;
    }
    const open: Open = { boxId, secret, response };
    this.#open.add(open);
    response.once('close', () => this.#open.delete(open));
    if (request.method === 'POST' && pathname === '/api/logout') {
      // Leaving is leaving altogether.
      response.once('finish', () => void this.#parts.sessions.end(boxId, secret).catch(() => undefined));
    }
    const client = request.socket.remoteAddress ?? '';
    const call = {
      boxId,
      path,
      client,
      boxSession: cookieOf(request, boxCookieName(boxId)),
    };
    callThrough(this.#parts, call, request, response, (why) => refuse(response, ...REFUSALS[why]));
  }
}

function cookieFor(boxId: string, secret: string, maxAgeS: number): string {
  return `${cookieName(boxId)}=${secret}; HttpOnly; Secure; SameSite=Lax; Path=/; Max-Age=${maxAgeS}`;
}

function cookieOf({ headers }: IncomingMessage, name: string): string | null {
  for (const pair of (headers.cookie ?? '').split(';')) {
    const [key, value] = pair.trim().split('=', 2);
    if (key === name && value !== undefined && /^[\w-]{1,128}$/.test(value)) return value;
  }
  return null;
}

/** @returns null when it is too long or no form */
async function readForm(request: IncomingMessage): Promise<URLSearchParams | null> {
  if (!/^application\/x-www-form-urlencoded(;|$)/.test(request.headers['content-type'] ?? '')) return null;
  let text = '';
  for await (const piece of request) {
    text += String(piece);
    if (text.length > MOST_FORM_BYTES) return null;
  }
  return new URLSearchParams(text);
}

function redirect(response: ServerResponse, location: string): void {
  response.setHeader('location', location);
  send(response, 303, 'text/plain; charset=utf-8', Buffer.from('Go on there.\n'));
}

/** A page of the relay's own. */
function show(response: ServerResponse, status: number, page: string): void {
  response.setHeader('content-security-policy', DOOR_CSP);
  // Under `no-referrer` a form comes with the Origin null (Fetch, 3.1), as another site's could.
  response.setHeader('referrer-policy', 'same-origin');
  response.setHeader('vary', 'accept-language');
  send(response, status, 'text/html; charset=utf-8', Buffer.from(page));
}

function refuse(response: ServerResponse, code: ErrorCode, message: string): void {
  // A body nobody reads would be taken for the next request.
  response.shouldKeepAlive = false;
  const body = Buffer.from(JSON.stringify({ error: { code, message } }));
  send(response, ERROR_CODES[code], 'application/json; charset=utf-8', body);
}

function send(response: ServerResponse, status: number, type: string, body: Buffer, bare = false): void {
  if (!response.hasHeader('cache-control')) response.setHeader('cache-control', 'no-store');
  response.writeHead(status, { 'content-type': type, 'content-length': body.length });
  response.end(bare ? undefined : body);
}
