/**
 * Requests the fast lane answers itself: a GET of content whose head came in one piece and could not be read in two
 * ways. Everything else (another method, a body, conditions, an odd line end, a header not known to be harmless) is
 * for node:http's parser.
 */
export interface FastRequest {
  target: string;
  headers: FastHeaders;
  /** The client wants the connection closed after it. */
  isLast: boolean;
  /** The head it was read from. */
  text: string;
}

/** By lower-case name, each at most once. */
export type FastHeaders = { readonly [name: string]: string | undefined };

const START = 'GET /c/';
const VERSION = ' HTTP/1.1';
const LINE_END = '\r\n';
const HEAD_END = '\r\n\r\n';
/** Beyond this a head is not looked at here, bytes. */
const LONGEST = 8 * 1024;

/**
 * Headers that do not frame the message, do not speak of the connection, and are no condition. `connection` is
 * here for its two harmless values.
 */
const HARMLESS = new Set([
  'host',
  'user-agent',
  'accept',
  'accept-language',
  'accept-encoding',
  'accept-charset',
  'access-control-request-headers',
  'authorization',
  'cache-control',
  'connection',
  'cookie',
  'dnt',
  'from',
  'icy-metadata',
  'origin',
  'pragma',
  'priority',
  'purpose',
  'range',
  'referer',
  'save-data',
  'sec-ch-ua',
  'sec-ch-ua-mobile',
  'sec-ch-ua-platform',
  'sec-fetch-dest',
  'sec-fetch-mode',
  'sec-fetch-site',
  'sec-fetch-storage-access',
  'sec-fetch-user',
  'sec-gpc',
  'sec-purpose',
  'traceparent',
  'tracestate',
  'upgrade-insecure-requests',
  'via',
  'x-forwarded-for',
  'x-forwarded-proto',
  'x-playback-session-id',
  'x-requested-with',
]);
/** One space or none before the value, none after it; nothing but printable ASCII: no folding, no stray CR. */
const FIELD = /^([A-Za-z][A-Za-z0-9-]*): ?([\x21-\x7e](?:[\x20-\x7e]*[\x21-\x7e])?)$/;

const HOST = /^(?:[A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\])(?::\d{1,5})?$/;
/** Lines of a head, as many as node:http's lane takes. */
const MOST_LINES = 100;

/** Header blocks that are remembered, and how long they may be. */
const MOST_REMEMBERED = 256;
const LONGEST_REMEMBERED = 2 * 1024;

/** Reads request heads. A client sends the same header lines with each request: they are taken apart once. */
export class RequestHeads {
  readonly #known = new Map<string, FastHeaders>();

  /**
   * @param length bytes of the buffer that are the client's
   * @param before what came last on the same connection: clients ask for the same again, a range at a time
   * @returns the request, `before` itself when it is the same; null when it is not one for the fast lane, which says nothing about its worth
   */
  read(bytes: Buffer, length = bytes.length, before: FastRequest | null = null): FastRequest | null {
    if (length > LONGEST) return null;
    const text = bytes.toString('latin1', 0, length);
    if (before !== null && before.text === text) return before;
    if (!text.startsWith(START)) return null;
    // Bytes after the head are a body or the next request: not here.
    if (text.indexOf(HEAD_END) !== text.length - HEAD_END.length) return null;
    const lineEnd = text.indexOf(LINE_END);
    const targetEnd = lineEnd - VERSION.length;
    if (!text.startsWith(VERSION, targetEnd)) return null;
    const target = text.slice(START.length - 3, targetEnd);
    const headers = this.#headersOf(text.slice(lineEnd + LINE_END.length, -LINE_END.length));
    if (!headers || !isPrintable(target)) return null;
    const isLast = headers.connection?.toLowerCase() === 'close';
    // The same text again is found again without being hashed.
    return { target: before?.target === target ? before.target : target, headers, isLast, text };
  }

  #headersOf(block: string): FastHeaders | null {
    const known = this.#known.get(block);
    if (known) return known;
    const headers = parseBlock(block);
    if (headers && block.length <= LONGEST_REMEMBERED) {
      if (this.#known.size >= MOST_REMEMBERED) this.#known.clear();
      this.#known.set(block, headers);
    }
    return headers;
  }
}

/** No space (which would end the target early for others), no control character, nothing but ASCII. */
function isPrintable(target: string): boolean {
  return /^[\x21-\x7e]+$/.test(target);
}

function parseBlock(block: string): FastHeaders | null {
  const headers: Record<string, string> = Object.create(null);
  // The block ends with a line end: the last part is empty.
  const lines = block.split(LINE_END, MOST_LINES + 1);
  if (lines.length > MOST_LINES) return null;
  for (let index = 0; index < lines.length - 1; index++) {
    const match = FIELD.exec(lines[index] ?? '');
    if (!match) return null;
    const name = (match[1] ?? '').toLowerCase();
    const value = match[2] ?? '';
    if (!HARMLESS.has(name) || name in headers) return null;
    headers[name] = value;
  }
  if (headers.host === undefined || !HOST.test(headers.host)) return null;
  // Several ranges come in many parts: node:http's lane puts them together.
  if (headers.range?.includes(',')) return null;
  const connection = headers.connection?.toLowerCase();
  if (connection !== undefined && connection !== 'keep-alive' && connection !== 'close') return null;
  return headers;
}
