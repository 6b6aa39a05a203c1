import type { IncomingMessage, ServerResponse } from 'node:http';
import type * as z from 'zod';
import { HearthError } from '#protocol/errors.ts';
import { describe } from '#protocol/messages.ts';

const MOST_BODY_BYTES = 16 * 1024;
export const SESSION_COOKIE = 'hearth_box_session';

/** One call of the API. */
export interface Call {
  request: IncomingMessage;
  /** Of who asks: the other end of the connection, since what a header says of it is anybody's claim. */
  address: string;
  response: ServerResponse;
  query: URLSearchParams;
  /** The session cookie's value, or null. */
  secret: string | null;
  /** Ends when the caller has gone. */
  signal: AbortSignal;
}

/** Answers a call: what it returns is sent as JSON; undefined when it has answered by itself. */
export type Handler = (call: Call) => unknown;

/** By method and path below /api, such as `POST /pause`. */
export type Routes = Readonly<Record<string, Handler>>;

export function sendJson(response: ServerResponse, value: unknown, status = 200): void {
  const body = Buffer.from(JSON.stringify(value));
  response.writeHead(status, {
    'content-type': 'application/json; charset=utf-8',
    'content-length': body.length,
    'cache-control': 'no-store',
  });
  response.end(body);
}

export function setSessionCookie(response: ServerResponse, value: string, maxAgeS = 14 * 86_400): void {
  response.setHeader(
    'set-cookie',
    `${SESSION_COOKIE}=${value}; HttpOnly; SameSite=Strict; Path=/; Max-Age=${maxAgeS}`,
  );
}

/**
 * The body of a call.
 * @throws HearthError `bad_request` with what is wrong, `payload_too_large`
 */
export async function readBody<T>(request: IncomingMessage, schema: z.ZodType<T>): Promise<T> {
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
  return checked(schema, value);
}

/** What stands behind the question mark. @throws HearthError `bad_request` with what is wrong */
export function readQuery<T>(query: URLSearchParams, schema: z.ZodType<T>): T {
  return checked(schema, Object.fromEntries(query));
}

function checked<T>(schema: z.ZodType<T>, value: unknown): T {
  const result = schema.safeParse(value);
  if (!result.success) throw new HearthError('bad_request', describe(result.error));
  return result.data;
}

/** @throws HearthError `unavailable` when this box has no such part */
export function present<T>(part: T | null): T {
  if (part === null) throw new HearthError('unavailable', 'This box has no such part.');
  return part;
}
