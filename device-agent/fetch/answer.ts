import type http from 'node:http';
import { OriginError } from './origin-error.ts';

const LONGEST_RETRY_AFTER_MS = 3_600_000;

/**
 * Where the body of an answer lies in the asset: 206 with just the slice, or 200 with the whole.
 * @throws OriginError when it cannot be for the bytes that were ingested
 */
export function spanOf(
  response: http.IncomingMessage,
  span: { start: number; length: number },
  sizeBytes: number,
): { start: number; end: number; isWhole: boolean } {
  const { headers } = response;
  const status = response.statusCode ?? 0;
  const encoding = headers['content-encoding'];
  if (status !== 200 && status !== 206) throw statusError(status, headers['retry-after'], sizeBytes);
  if (encoding !== undefined && encoding !== 'identity') {
    throw new OriginError('origin_status', `the origin encodes its answer (${encoding})`, { lasting: true });
  }
  if (status === 200) {
    checkLength(headers['content-length'], sizeBytes);
    return { start: 0, end: sizeBytes, isWhole: true };
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
  return { start: span.start, end, isWhole: false };
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
