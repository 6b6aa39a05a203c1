import type { IncomingMessage, ServerResponse } from 'node:http';
import type { ClientHttp2Stream, IncomingHttpHeaders, OutgoingHttpHeaders } from 'node:http2';
import { constants } from 'node:http2';
import { CLIENT_ADDRESS_HEADER, relayedTarget } from '#protocol/relay.ts';
import { flowOfAddress } from '#shaping/shaper.ts';
import { carry } from './carry.ts';
import type { RelayCounts } from './counts.ts';
import type { Tolls } from './tolls.ts';
import type { Tunnels } from './tunnels.ts';
import { giveUp } from './tunnels.ts';

export interface ForwardLimits {
  /** A box that has not begun to answer by then, ms. */
  answerMs: number;
  /** A box that sends nothing, though its client waits, for this long is cut, ms. */
  stalledMs: number;
  /** Streams open for one client's address, or its /64 of IPv6. */
  streamsPerClient: number;
}

export const FORWARD_LIMITS: ForwardLimits = { answerMs: 15_000, stalledMs: 30_000, streamsPerClient: 128 };

export interface ForwarderParts {
  tunnels: Tunnels;
  counts: RelayCounts;
  tolls: Tolls;
  limits: ForwardLimits;
  /** Where a client is sent whose box is not here: it finds another holder, or the origin. */
  elsewhere: (boxId: string, path: string) => string | null;
}

/** Request headers a box is to see; what belongs to the client's own connection stays here (RFC 9110 section 7.6.1). */
const PASSED = [
  'accept',
  'accept-encoding',
  'accept-language',
  'access-control-request-headers',
  'access-control-request-method',
  'if-match',
  'if-modified-since',
  'if-none-match',
  'if-range',
  'if-unmodified-since',
  'origin',
  'range',
  'user-agent',
] as const;
const METHODS = ['GET', 'HEAD', 'OPTIONS'];
const HOP_BY_HOP = new Set([
  'connection',
  'keep-alive',
  'proxy-connection',
  'transfer-encoding',
  'upgrade',
  'te',
]);

/** Answers of one box that would bear on the whole origin, which all boxes of a relay share. */
const OF_THE_ORIGIN = new Set([
  'accept-ch',
  'alt-svc',
  'clear-site-data',
  'critical-ch',
  'nel',
  'origin-agent-cluster',
  'public-key-pins',
  'report-to',
  'reporting-endpoints',
  'service-worker-allowed',
  'set-cookie',
  'set-cookie2',
  'strict-transport-security',
]);
const POLICY = 'content-security-policy';
/**
 * What a document from a box may do where the relay's origin also carries dashboards: it is shown in an origin of its
 * own (no `allow-same-origin`), so that its scripts cannot call a dashboard with the cookies of who looks at it.
 */
const SANDBOX = 'sandbox allow-scripts allow-forms allow-popups allow-modals allow-downloads';

type Target = NonNullable<ReturnType<typeof relayedTarget>>;

/** Takes a client's request to the box it names, and the answer back: the relay ends the client's TLS. */
export class Forwarder {
  readonly #parts: ForwarderParts;
  readonly #perClient = new Map<string, number>();

  constructor(parts: ForwarderParts) {
    this.#parts = parts;
  }

  /**
   * Answers a request under `/b/<box id>/`; all others get 404.
   * @param sandboxed dashboards are served under the same origin: documents from boxes get none of it
   */
  forward(request: IncomingMessage, response: ServerResponse, sandboxed = false): void {
    response.on('error', () => undefined);
    if (sandboxed) response.setHeader(POLICY, SANDBOX);
    // A body nobody reads would be taken for the next request.
    if (request.headers['content-length'] || request.headers['transfer-encoding']) {
      response.shouldKeepAlive = false;
    }
    const { method = 'GET' } = request;
    const target = relayedTarget(request.url ?? '');
    const client = request.socket.remoteAddress ?? '';
    if (!target) say(response, 404, 'Nothing is here.');
    else if (request.headers['service-worker'] !== undefined) {
      // It would answer for the whole origin from then on (Service Workers, 6.2).
      say(response, 403, 'No service worker comes from here.');
    } else if (!METHODS.includes(method)) {
      say(response, 405, 'Only content is relayed.', { Allow: METHODS.join(', ') });
    } else if ((this.#perClient.get(flowOfAddress(client)) ?? 0) >= this.#parts.limits.streamsPerClient) {
      say(response, 429, 'Too many requests at once.', { 'Retry-After': '2' });
    } else {
      this.#open(request, response, target, client);
    }
  }

  #open(request: IncomingMessage, response: ServerResponse, target: Target, client: string): void {
    const headers: OutgoingHttpHeaders = {
      ':method': request.method,
      ':path': target.path,
      ':scheme': 'http',
      ':authority': request.headers.host ?? 'relay',
      [CLIENT_ADDRESS_HEADER]: client,
    };
    for (const name of PASSED) {
      const value = request.headers[name];
      if (value !== undefined) headers[name] = String(value);
    }
    const opened = this.#parts.tunnels.open(target.boxId, headers, { endStream: true });
    if ('refused' in opened) {
      this.#instead(response, target);
      return;
    }
    const network = flowOfAddress(client);
    this.#perClient.set(network, (this.#perClient.get(network) ?? 0) + 1);
    opened.stream.once('close', () => {
      const left = (this.#perClient.get(network) ?? 1) - 1;
      if (left > 0) this.#perClient.set(network, left);
      else this.#perClient.delete(network);
    });
    this.#carry(opened.stream, response, target, client);
  }

  #carry(stream: ClientHttp2Stream, response: ServerResponse, target: Target, client: string): void {
    const { counts, limits, tolls } = this.#parts;
    const cancel = () => giveUp(stream);
    // The box's time to answer; afterwards, to go on while the client waits for it.
    let patience: NodeJS.Timeout | undefined = setTimeout(cancel, limits.answerMs);
    const waitForBox = (ms: number | null) => {
      clearTimeout(patience);
      patience = ms === null ? undefined : setTimeout(cancel, ms);
    };
    let answered = false;
    let promised: number | null = null;
    let sent = 0;
    stream.on('error', () => undefined);
    stream.once('close', () => {
      waitForBox(null);
      if (response.destroyed) return;
      if (!answered) this.#instead(response, target);
      // Not at 'end': a box that breaks off may end the stream first. What it sent must not pass for the whole, and on
      // a connection that is kept the next answer must not pass for the rest.
      else if (
        stream.readableEnded &&
        stream.rstCode === constants.NGHTTP2_NO_ERROR &&
        (promised ?? sent) === sent
      )
        response.end();
      else response.destroy();
    });
    response.once('close', cancel);
    stream.once('response', (head) => {
      if (response.destroyed) return;
      promised = lengthOf(head, response.req.method);
      const headers = headersOf(head);
      const [own, boxes] = [response.getHeader(POLICY), headers[POLICY]];
      // Both hold then (CSP 3, 8.1).
      if (own !== undefined && boxes !== undefined) headers[POLICY] = `${own}, ${boxes}`;
      try {
        response.writeHead(Number(head[':status']), headers);
      } catch {
        // HTTP/2 knows heads that Node's HTTP/1.1 refuses to write, such as a trailer beside a length.
        for (const name of response.getHeaderNames()) if (name !== POLICY) response.removeHeader(name);
        cancel();
        return;
      }
      answered = true;
      waitForBox(limits.stalledMs);
      counts.request(target.boxId);
      carry({
        from: stream,
        to: response,
        toll: tolls.of(target.boxId, client),
        onBytes: (bytes) => {
          counts.bytes(target.boxId, bytes);
          sent += bytes;
          patience?.refresh();
        },
        // The client is slower than the box: what the stream's window allows is all that waits here.
        onWait: (waits) => waitForBox(waits ? null : limits.stalledMs),
      });
    });
  }

  #instead(response: ServerResponse, { boxId, path }: Target): void {
    const location = this.#parts.elsewhere(boxId, path);
    if (location === null) {
      say(response, 503, 'The box is not connected to this relay.', { 'Retry-After': '5' });
      return;
    }
    say(response, 302, 'This is served elsewhere now.', {
      Location: location,
      'Cache-Control': 'no-store',
      'Access-Control-Allow-Origin': '*',
    });
  }
}

/** How many bytes of body an answer promises; null when it does not say. */
function lengthOf(head: IncomingHttpHeaders, method: string | undefined): number | null {
  if (method === 'HEAD' || Number(head[':status']) === 304) return 0;
  const length = head['content-length'];
  return length === undefined ? null : Number(length);
}

function headersOf(head: IncomingHttpHeaders): OutgoingHttpHeaders {
  const headers: OutgoingHttpHeaders = {};
  for (const [name, value] of Object.entries(head)) {
    const stays = name.startsWith(':') || HOP_BY_HOP.has(name) || OF_THE_ORIGIN.has(name);
    if (!stays && value !== undefined) headers[name] = value;
  }
  return headers;
}

function say(
  response: ServerResponse,
  status: number,
  text: string,
  headers: Record<string, string> = {},
): void {
  const body = `${text}\n`;
  response.writeHead(status, {
    'Content-Type': 'text/plain; charset=utf-8',
    'Content-Length': Buffer.byteLength(body),
    'X-Content-Type-Options': 'nosniff',
    ...headers,
  });
  response.end(body);
}
