import { createHash } from 'node:crypto';
import { lookup as systemLookup } from 'node:dns';
import type { IncomingHttpHeaders, IncomingMessage } from 'node:http';
import { request } from 'node:http';
import { request as requestSecurely } from 'node:https';
import { isIPv6 } from 'node:net';
import { HearthError } from '#protocol/errors.ts';

/** What a client got in the end. */
export interface Fetched {
  status: number;
  headers: IncomingHttpHeaders;
  /** Where it came from, after redirects. */
  finalUrl: string;
  /** Every URL asked, the first one included, with the status it answered. */
  hops: { url: string; status: number }[];
  sizeBytes: number;
  sha256: string;
  /** The body, when `keepBody` was set. */
  body: Buffer;
}

export interface FetchOptions {
  method?: 'GET' | 'HEAD';
  headers?: Record<string, string>;
  keepBody?: boolean;
  maxRedirects?: number;
  /** No byte for this long is a failure. */
  idleTimeoutMs?: number;
  /** Read no faster than this, bytes per second; for tests that need a download to last. */
  maxBytesPerSecond?: number;
  signal?: AbortSignal;
  /** Where names are that only this client is to know; null: ask the system. */
  addressOf?: (hostname: string) => string | null;
  /** Who signs servers' certificates, PEM; default: the public CAs. */
  ca?: string;
}

/**
 * Fetches as any HTTP client would: follows redirects (RFC 9110 section 15.4), and knows that names below
 * `localhost` are this machine (RFC 6761 section 6.3), which not every system's resolver does.
 * @throws HearthError `unavailable` when a connection breaks or the body is shorter than promised
 */
export async function fetchAsClient(url: string, options: FetchOptions = {}): Promise<Fetched> {
  const hops: Fetched['hops'] = [];
  let next = url;
  for (;;) {
    const fetched = await fetchOnce(next, options, hops);
    if (typeof fetched !== 'string') return fetched;
    if (hops.length > (options.maxRedirects ?? 10)) {
      throw new HearthError('unavailable', `too many redirects: ${hops.map((hop) => hop.url).join(' -> ')}`);
    }
    next = fetched;
  }
}

function fetchOnce(url: string, options: FetchOptions, hops: Fetched['hops']): Promise<Fetched | string> {
  return new Promise((done, fail) => {
    const broken = (error: Error) =>
      fail(new HearthError('unavailable', `${url}: ${error.message}`, { cause: error }));
    const send = url.startsWith('https:') ? requestSecurely : request;
    const outgoing = send(
      url,
      {
        method: options.method ?? 'GET',
        headers: options.headers,
        agent: false,
        signal: options.signal,
        ...(options.ca !== undefined && { ca: options.ca }),
        lookup: (hostname, lookup, callback) =>
          resolveName(hostname, options.addressOf?.(hostname) ?? null, lookup, callback),
      },
      (response) => {
        hops.push({ url, status: response.statusCode ?? 0 });
        response.once('error', broken);
        const { location } = response.headers;
        if (location !== undefined && [301, 302, 303, 307, 308].includes(response.statusCode ?? 0)) {
          response.resume();
          response.once('end', () => done(new URL(location, url).href));
          return;
        }
        readBody(response, options).then(
          (body) =>
            done({
              ...body,
              status: response.statusCode ?? 0,
              headers: response.headers,
              finalUrl: url,
              hops,
            }),
          broken,
        );
      },
    );
    outgoing.setTimeout(options.idleTimeoutMs ?? 30_000, () =>
      outgoing.destroy(new Error('no byte in time')),
    );
    outgoing.once('error', broken);
    outgoing.end();
  });
}

async function readBody(
  response: IncomingMessage,
  options: FetchOptions,
): Promise<{ sizeBytes: number; sha256: string; body: Buffer }> {
  const hash = createHash('sha256');
  const kept: Buffer[] = [];
  let sizeBytes = 0;
  const startedAt = Date.now();
  for await (const piece of response as AsyncIterable<Buffer>) {
    hash.update(piece);
    sizeBytes += piece.length;
    if (options.keepBody) kept.push(piece);
    if (options.maxBytesPerSecond) {
      const dueMs = startedAt + (sizeBytes / options.maxBytesPerSecond) * 1000 - Date.now();
      if (dueMs > 0) await new Promise((resume) => setTimeout(resume, dueMs));
    }
  }
  if (!response.complete) throw new Error(`the body ended after ${sizeBytes} bytes`);
  return { sizeBytes, sha256: hash.digest('hex'), body: Buffer.concat(kept) };
}

type LookupCallback = (error: NodeJS.ErrnoException | null, address: never, family?: number) => void;

function resolveName(
  hostname: string,
  known: string | null,
  options: object,
  callback: LookupCallback,
): void {
  const isHere = hostname === 'localhost' || hostname.endsWith('.localhost');
  const address = known ?? (isHere ? '127.0.0.1' : null);
  if (address !== null) {
    const family = isIPv6(address) ? 6 : 4;
    if ('all' in options && options.all) callback(null, [{ address, family }] as never);
    else callback(null, address as never, family);
    return;
  }
  systemLookup(hostname, options, callback as never);
}
