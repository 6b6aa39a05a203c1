import { signal } from '@preact/signals';
import type { z } from 'zod';
import type { ErrorCode } from '#protocol/errors.ts';
import type { errorBodySchema } from '#protocol/http-fleet.ts';

/** What went wrong between this page and the server, beside the server's own codes. */
export type ApiErrorCode = ErrorCode | 'unreachable' | 'timeout' | 'unexpected';

/** A request that failed: `code` picks the words a person sees, `message` is the server's own detail. */
export class ApiError extends Error {
  readonly code: ApiErrorCode;
  /** HTTP status; 0 when no answer came. */
  readonly status: number;

  constructor(code: ApiErrorCode, status: number, message: string, options?: { cause?: unknown }) {
    super(message, options);
    this.name = 'ApiError';
    this.code = code;
    this.status = status;
  }
}

/** False while the server does not answer: the banner shows it, the polls try on. */
export const reachable = signal(true);

export interface Api {
  get<T>(path: string, signal?: AbortSignal): Promise<T>;
  send<T>(method: 'POST' | 'PATCH' | 'DELETE', path: string, body?: unknown, timeoutMs?: number): Promise<T>;
}

export interface ApiOptions {
  /** Where the API starts: `/api` or `/api/v1`. */
  base: string;
  /** Called when the session has ended. */
  onUnauthenticated: () => void;
  fetch?: typeof fetch;
  timeoutMs?: number;
}

const TIMEOUT_MS = 15_000;

/** Makes a client of one API. Every failure is thrown as an ApiError. */
export function createApi(options: ApiOptions): Api {
  const request = options.fetch ?? ((input, init) => fetch(input, init));

  async function call<T>(
    path: string,
    init: RequestInit,
    timeoutMs: number,
    signal?: AbortSignal,
  ): Promise<T> {
    const timeout = AbortSignal.timeout(timeoutMs);
    const both = signal ? AbortSignal.any([signal, timeout]) : timeout;
    let response: Response;
    let text: string;
    try {
      response = await request(`${options.base}${path}`, {
        ...init,
        signal: both,
        credentials: 'same-origin',
      });
      text = await response.text();
    } catch (cause) {
      if (signal?.aborted) throw cause;
      reachable.value = false;
      const code = timeout.aborted ? 'timeout' : 'unreachable';
      throw new ApiError(code, 0, cause instanceof Error ? cause.message : String(cause), { cause });
    }
    reachable.value = true;
    if (response.ok) return parse<T>(text, response.status);
    const error = readError(response.status, text);
    if (error.code === 'not_authenticated') options.onUnauthenticated();
    throw error;
  }

  return {
    get: (path, signal) => call(path, {}, options.timeoutMs ?? TIMEOUT_MS, signal),
    send: (method, path, body, timeoutMs) =>
      call(
        path,
        {
          method,
          headers: {
            // A header a foreign page cannot set without asking first: the server's proof against CSRF.
            'x-hearth-csrf': '1',
            ...(body === undefined ? {} : { 'content-type': 'application/json' }),
          },
          ...(body === undefined ? {} : { body: JSON.stringify(body) }),
        },
        timeoutMs ?? options.timeoutMs ?? TIMEOUT_MS,
      ),
  };
}

function parse<T>(text: string, status: number): T {
  if (text === '') return undefined as T;
  try {
    return JSON.parse(text) as T;
  } catch (cause) {
    throw new ApiError('unexpected', status, 'the answer was not JSON', { cause });
  }
}

/** Reads an error answer; one that is not ours (a proxy's page) still becomes something sayable. */
export function readError(status: number, text: string): ApiError {
  try {
    const body = JSON.parse(text) as Partial<z.infer<typeof errorBodySchema>>;
    if (typeof body.error?.code === 'string') {
      return new ApiError(body.error.code as ErrorCode, status, String(body.error.message ?? ''));
    }
  } catch {
    // Not JSON: the status alone has to do.
  }
  const code: ApiErrorCode =
    status === 401
      ? 'not_authenticated'
      : status === 404
        ? 'not_found'
        : status === 429
          ? 'rate_limited'
          : status === 413
            ? 'payload_too_large'
            : status === 502 || status === 503 || status === 504
              ? 'unavailable'
              : 'unexpected';
  return new ApiError(code, status, `HTTP ${status}`);
}
