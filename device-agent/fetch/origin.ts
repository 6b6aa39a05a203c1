import http from 'node:http';
import https from 'node:https';
import { errnoOf } from '#agent/durable/durable-file.ts';
import type { ErrorCode } from '#protocol/errors.ts';
import { HearthError, messageOf } from '#protocol/errors.ts';

/** What went wrong at the origin, and what that means for another try. */
export class OriginError extends HearthError {
  /** The origin asked to be left alone this long, ms. */
  readonly retryAfterMs: number | null;
  /** Another try at once would end the same way. */
  readonly lasting: boolean;

  constructor(
    code: ErrorCode,
    message: string,
    more: { retryAfterMs?: number | null; lasting?: boolean; cause?: unknown } = {},
  ) {
    super(code, message, { cause: more.cause });
    this.retryAfterMs = more.retryAfterMs ?? null;
    this.lasting = more.lasting ?? false;
  }
}

export interface OriginOptions {
  /** Nothing received for this long: the origin is stalled, ms. */
  stallMs: number;
  /** An answer slower than this is given up, bytes per second over the whole of it. */
  leastBytesPerSecond: number;
}

export const ORIGIN_DEFAULTS: OriginOptions = { stallMs: 20_000, leastBytesPerSecond: 4096 };

const MOST_REDIRECTS = 5;
const LONGEST_RETRY_AFTER_MS = 3_600_000;

/** Connections to origins, kept alive. One owner, closed with the agent. */
export class OriginClient {
  readonly #options: OriginOptions;
  readonly #http = new http.Agent({ keepAlive: true, maxSockets: 8, maxFreeSockets: 4, timeout: 30_000 });
  readonly #https = new https.Agent({ keepAlive: true, maxSockets: 8, maxFreeSockets: 4, timeout: 30_000 });

  constructor(options: OriginOptions) {
    this.#options = options;
  }

  close(): void {
    this.#http.destroy();
    this.#https.destroy();
  }

  /**
   * Asks for a slice of the asset. The answer is 206 with just that slice, or 200 with the whole of it; anything
   * else is an error, and so is an answer that cannot be for the bytes that were ingested.
   * @param span first byte and length
   * @returns the body and where in the asset it begins and ends
   * @throws OriginError `origin_unreachable`, `origin_status`, `origin_changed`
   */
  async ask(
    url: string,
    span: { start: number; length: number },
    sizeBytes: number,
    signal: AbortSignal,
  ): Promise<{ body: AsyncIterable<Buffer>; start: number; end: number }> {
    let at = url;
    for (let hop = 0; hop <= MOST_REDIRECTS; hop++) {
      const { response, givenUp } = await this.#request(at, span, sizeBytes, signal);
      const status = response.statusCode ?? 0;
      const { location } = response.headers;
      if ([301, 302, 303, 307, 308].includes(status) && location) {
        response.destroy();
        at = this.#redirect(at, location);
        continue;
      }
      try {
        return { body: this.#body(response, givenUp), ...spanOf(response, span, sizeBytes) };
      } catch (error) {
        response.destroy();
        throw error;
      }
    }
    throw new OriginError('origin_status', `the origin redirects more than ${MOST_REDIRECTS} times`, {
      lasting: true,
    });
  }

  #redirect(from: string, location: string): string {
    const to = URL.canParse(location, from) ? new URL(location, from) : null;
    if (to?.protocol === 'http:' || to?.protocol === 'https:') return to.href;
    throw new OriginError('origin_status', 'the origin redirects to something that is not HTTP', {
      lasting: true,
    });
  }

  #request(
    url: string,
    { start, length }: { start: number; length: number },
    sizeBytes: number,
    signal: AbortSignal,
  ): Promise<{ response: http.IncomingMessage; givenUp: () => OriginError | null }> {
    const { stallMs, leastBytesPerSecond } = this.#options;
    const secure = url.startsWith('https:');
    return new Promise((resolve, reject) => {
      const request = (secure ? https : http).get(url, {
        agent: secure ? this.#https : this.#http,
        signal,
        headers: {
          range: `bytes=${start}-${start + length - 1}`,
          'accept-encoding': 'identity',
          'user-agent': 'hearth-agent',
        },
      });
      // Once there is a response, Node tells its reader of a reset and not of this reason.
      let reason: OriginError | null = null;
      const giveUp = (message: string) => {
        reason = new OriginError('origin_unreachable', message);
        request.destroy(reason);
      };
      request.setTimeout(stallMs, () => giveUp(`the origin sent nothing for ${stallMs / 1000} s`));
      // The whole asset may come: that is the longest it can take.
      const deadlineMs = stallMs + (sizeBytes / leastBytesPerSecond) * 1000;
      const deadline = setTimeout(() => giveUp('the origin is too slow'), Math.min(deadlineMs, 2 ** 31 - 1));
      deadline.unref();
      request.on('close', () => clearTimeout(deadline));
      request.on('error', (error) => {
        if (error instanceof OriginError || signal.aborted) return reject(error);
        const why = errnoOf(error) || messageOf(error);
        reject(
          new OriginError('origin_unreachable', `the origin cannot be reached (${why})`, { cause: error }),
        );
      });
      request.on('response', (response) => resolve({ response, givenUp: () => reason }));
    });
  }

  async *#body(response: http.IncomingMessage, givenUp: () => OriginError | null): AsyncGenerator<Buffer> {
    try {
      for await (const piece of response) yield piece as Buffer;
    } catch (error) {
      throw (
        givenUp() ??
        new OriginError('origin_truncated', 'the origin broke off in the middle', { cause: error })
      );
    } finally {
      // Left early: what is still to come is not wanted.
      if (!response.complete) response.destroy();
    }
  }
}

/** Where the body of an answer lies in the asset. */
function spanOf(
  response: http.IncomingMessage,
  span: { start: number; length: number },
  sizeBytes: number,
): { start: number; end: number } {
  const { headers } = response;
  const status = response.statusCode ?? 0;
  const encoding = headers['content-encoding'];
  if (status !== 200 && status !== 206) throw statusError(status, headers['retry-after'], sizeBytes);
  if (encoding !== undefined && encoding !== 'identity') {
    throw new OriginError('origin_status', `the origin encodes its answer (${encoding})`, { lasting: true });
  }
  if (status === 200) {
    checkLength(headers['content-length'], sizeBytes);
    return { start: 0, end: sizeBytes };
  }
  // RFC 9110 section 14.4
  const range = /^bytes (\d+)-(\d+)\/(\d+|\*)$/.exec(headers['content-range'] ?? '');
  const end = span.start + span.length;
  if (range && range[3] !== '*' && Number(range[3]) !== sizeBytes) {
    throw new OriginError(
      'origin_changed',
      `the origin now has ${range[3]} bytes, ${sizeBytes} were ingested`,
      {
        lasting: true,
      },
    );
  }
  if (!range || Number(range[1]) !== span.start || Number(range[2]) !== end - 1) {
    throw new OriginError('origin_status', 'the origin answered with another range than was asked for');
  }
  checkLength(headers['content-length'], span.length);
  return { start: span.start, end };
}

function checkLength(header: string | undefined, expected: number): void {
  if (header === undefined || Number(header) === expected) return;
  throw new OriginError(
    'origin_changed',
    `the origin sends ${header} bytes where ${expected} were ingested`,
    {
      lasting: true,
    },
  );
}

function statusError(status: number, retryAfter: string | undefined, sizeBytes: number): OriginError {
  if (status === 416) {
    return new OriginError('origin_changed', `the origin has fewer than ${sizeBytes} bytes now`, {
      lasting: true,
    });
  }
  const again = status === 408 || status === 425 || status === 429 || status >= 500;
  return new OriginError('origin_status', `the origin answered ${status}`, {
    lasting: !again,
    retryAfterMs: again ? parseRetryAfter(retryAfter, Date.now()) : null,
  });
}

/**
 * Retry-After in either form (RFC 9110 section 10.2.3), at most an hour.
 * @returns ms from now, or null when there is none
 */
export function parseRetryAfter(value: string | undefined, nowMs: number): number | null {
  if (value === undefined) return null;
  const ms = /^\d{1,9}$/.test(value) ? Number(value) * 1000 : Date.parse(value) - nowMs;
  return Number.isNaN(ms) ? null : Math.min(Math.max(ms, 0), LONGEST_RETRY_AFTER_MS);
}
