import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { Logger } from 'pino';
import { originUrlOf } from '#fleet/assets/manifest.ts';
import { assetPathSchema } from '#protocol/asset.ts';
import { contentLink, SKIPS_MAX, skippedIn, withoutSkips } from '#protocol/content-url.ts';
import { deliveryKeyFor, mintToken } from '#protocol/delivery-token.ts';
import type { Catalogue, RoutedSite } from './catalogue.ts';
import { type Candidate, choose } from './choice.ts';
import type { RedirectCounts } from './redirect-counts.ts';

export interface RouterOptions {
  host: string;
  port: number;
  tokenTtlMs: number;
  deliverySecret: Buffer;
  sealKey: Buffer;
}

/** A request as the router understands it. */
type Asked =
  | { site: RoutedSite; path: string; query: string; skip: ReadonlySet<string> }
  | { status: number; message: string };

/**
 * Sends each client to a box that holds what it asks for, or to the origin: 302 with a signed link (RFC 9110
 * section 15.4.3). It answers from memory, and issuing a link writes nothing, so any number of
 * routers may run.
 */
export class Router {
  readonly #catalogue: Catalogue;
  readonly #options: RouterOptions;
  readonly #counts: RedirectCounts;
  readonly #log: Logger;
  readonly #server: Server;
  readonly #keys = new Map<string, Buffer>();

  constructor(catalogue: Catalogue, options: RouterOptions, counts: RedirectCounts, log: Logger) {
    this.#catalogue = catalogue;
    this.#options = options;
    this.#counts = counts;
    this.#log = log;
    this.#server = createServer(
      { keepAliveTimeout: 15_000, headersTimeout: 10_000, requestTimeout: 15_000, maxHeaderSize: 16_384 },
      (request, response) => {
        this.#answer(request, response).catch((error: unknown) => {
          this.#log.error({ err: error }, 'the router failed on a request');
          if (!response.headersSent) refuse(response, 503, 'The router is in trouble; try again.');
        });
      },
    );
  }

  /** Starts listening. @throws when the port is taken */
  async listen(): Promise<void> {
    await this.#catalogue.refresh();
    await new Promise<void>((resolve, reject) => {
      this.#server.once('error', reject);
      this.#server.listen(this.#options.port, this.#options.host, resolve);
    });
  }

  get port(): number {
    const address = this.#server.address();
    return typeof address === 'object' && address ? address.port : this.#options.port;
  }

  async close(): Promise<void> {
    this.#catalogue.close();
    const closed = new Promise<void>((resolve) => this.#server.close(() => resolve()));
    this.#server.closeIdleConnections();
    await closed;
    await this.#counts.close();
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    // Players and pages of any origin may fetch from a CDN.
    response.setHeader('access-control-allow-origin', '*');
    if (request.url === '/healthz') return void response.writeHead(204).end();
    if (request.method === 'OPTIONS') {
      response.writeHead(204, {
        'access-control-allow-methods': 'GET, HEAD',
        'access-control-allow-headers': request.headers['access-control-request-headers'] ?? 'range',
        'access-control-max-age': '86400',
      });
      return void response.end();
    }
    if (request.method !== 'GET' && request.method !== 'HEAD') {
      response.setHeader('allow', 'GET, HEAD, OPTIONS');
      return this.#refused(response, 405, 'Only GET and HEAD are served here.');
    }
    const asked = this.#understand(request);
    if ('status' in asked) return this.#refused(response, asked.status, asked.message);
    const { site, path, query, skip } = asked;
    const route = await this.#catalogue.route(site.id, path);
    const box = route && this.#choose(route.holders, skip);
    if (!route || !box) {
      this.#counts.add('origin');
      return redirect(response, originUrlOf(site.origin, path) + (query && `?${query}`));
    }
    box.sentLately++;
    const token = mintToken(
      {
        boxId: box.boxId,
        siteId: site.id,
        prefix: route.prefix,
        maxBytes: route.entitledBytes,
        expiresAtMs: Date.now() + this.#options.tokenTtlMs,
      },
      this.#keyOf(box.boxId),
      this.#options.sealKey,
    );
    this.#counts.add('box');
    // The box repeats these if it hands the client back, so that two bad boxes cannot send it to and fro for ever.
    redirect(response, contentLink(box.contentUrl, { token, siteId: site.id, path }, skip));
  }

  #choose(holders: readonly string[], skip: ReadonlySet<string>): Candidate | null {
    if (skip.size >= SKIPS_MAX) return null;
    const candidates: Candidate[] = [];
    for (const id of holders) {
      const box = skip.has(id) ? undefined : this.#catalogue.box(id);
      if (box) candidates.push(box);
    }
    return choose(candidates, Math.random);
  }

  /** `<site host>/<path>`, or `/_site/<site id>/<path>` as boxes hand clients back. */
  #understand(request: IncomingMessage): Asked {
    const [whole = '', query = ''] = splitOnce(request.url ?? '', '?');
    // A proxy asks with the whole URL, and its host counts (RFC 9112 section 3.2.2).
    const absolute = /^https?:\/\/([^/]*)(.*)$/i.exec(whole);
    const target = absolute?.[2] ?? whole;
    const direct = /^\/_site\/([^/]+)(\/.*)$/.exec(target);
    const authority = absolute?.[1] ?? request.headers.host ?? '';
    const host = authority.toLowerCase().replace(/:\d*$/, '').replace(/\.$/, '');
    const site = direct ? this.#catalogue.siteById(direct[1] ?? '') : this.#catalogue.siteByHost(host);
    if (!site)
      return {
        status: 404,
        message: `No site is registered for ${JSON.stringify(host.slice(0, 253))} here.`,
      };
    let path: string;
    try {
      path = decodeURIComponent(direct ? (direct[2] ?? '') : target);
    } catch {
      return { status: 400, message: 'The path is not valid percent-encoding.' };
    }
    // A folder's page is no asset, but it may well be at the origin.
    const plain = path.replace(/(?!^)\/$/, '');
    if (path !== '/' && !assetPathSchema.safeParse(plain).success)
      return { status: 404, message: 'Nothing can lie at this path.' };
    return { site, path, query: withoutSkips(query), skip: skippedIn(query) };
  }

  #keyOf(boxId: string): Buffer {
    let key = this.#keys.get(boxId);
    if (!key) {
      if (this.#keys.size >= 100_000) this.#keys.clear();
      key = deliveryKeyFor(this.#options.deliverySecret, boxId);
      this.#keys.set(boxId, key);
    }
    return key;
  }

  #refused(response: ServerResponse, status: number, message: string): void {
    this.#counts.add('refused');
    refuse(response, status, message);
  }
}

function redirect(response: ServerResponse, location: string): void {
  // The link is this client's own and expires; nobody may keep the answer.
  response.writeHead(302, { location, 'cache-control': 'no-store', 'content-length': '0' });
  response.end();
}

function refuse(response: ServerResponse, status: number, message: string): void {
  const body = `${message}\n`;
  response.writeHead(status, {
    'content-type': 'text/plain; charset=utf-8',
    'content-length': Buffer.byteLength(body),
    'x-content-type-options': 'nosniff',
  });
  response.end(body);
}

function splitOnce(text: string, separator: string): [string, string] {
  const at = text.indexOf(separator);
  return at === -1 ? [text, ''] : [text.slice(0, at), text.slice(at + 1)];
}
