import { setTimeout as sleep } from 'node:timers/promises';
import type { z } from 'zod';
import type { ErrorCode } from '#protocol/errors.ts';
import { ERROR_CODES, HearthError, messageOf } from '#protocol/errors.ts';
import {
  accountSchema,
  assetSchema,
  assignmentSchema,
  boxSchema,
  changedSchema,
  claimSchema,
  errorBodySchema,
  pageOf,
  siteSchema,
} from '#protocol/http-fleet.ts';
import { describe } from '#protocol/messages.ts';

export const boxesPage = pageOf(boxSchema);
export const sitesPage = pageOf(siteSchema);
export const assetsPage = pageOf(assetSchema);
export const assignmentsPage = pageOf(assignmentSchema);
export const accountsPage = pageOf(accountSchema);
export const assetsCreated = assetsPage.pick({ items: true });
export const assignmentsCreated = assignmentsPage.pick({ items: true });
export { assetSchema, assignmentSchema, boxSchema, changedSchema, claimSchema, siteSchema };

/** An operator's client of the fleet's HTTP API. Every answer is checked against the contract. */
export class FleetApi {
  readonly url: string;
  private readonly token: string;

  /** @param url such as `http://127.0.0.1:7080`; @param token an API token */
  constructor(url: string, token: string) {
    this.url = url;
    this.token = token;
  }

  get<T extends z.ZodType>(path: string, schema: T): Promise<z.output<T>> {
    return this.call('GET', path, undefined, schema);
  }

  post<T extends z.ZodType>(path: string, body: unknown, schema: T): Promise<z.output<T>> {
    return this.call('POST', path, body, schema);
  }

  /** All rows of a list, page after page. */
  async all<T extends z.ZodType<{ items: unknown[]; next: string | null }>>(
    path: string,
    schema: T,
  ): Promise<z.output<T>['items']> {
    const items: unknown[] = [];
    for (let after: string | null = ''; after !== null; ) {
      const cursor: string =
        after === '' ? '' : `${path.includes('?') ? '&' : '?'}after=${encodeURIComponent(after)}`;
      const page: { items: unknown[]; next: string | null } = await this.get(`${path}${cursor}`, schema);
      items.push(...page.items);
      after = page.next;
    }
    return items;
  }

  /** @throws HearthError with the fleet's own code and message, or `unavailable` when it cannot be reached */
  async call<T extends z.ZodType>(
    method: string,
    path: string,
    body: unknown,
    schema: T,
  ): Promise<z.output<T>> {
    const { status, text } = await this.raw(method, path, body);
    const json = parseJson(text);
    if (status >= 400) {
      const refused = errorBodySchema.safeParse(json);
      const code = refused.success && isCode(refused.data.error.code) ? refused.data.error.code : 'internal';
      const why = refused.success ? refused.data.error.message : text.slice(0, 200);
      throw new HearthError(code, `${method} ${path}: ${status}, ${why}`);
    }
    const checked = schema.safeParse(json);
    if (checked.success) return checked.data;
    throw new HearthError('internal', `${method} ${path}: not as agreed: ${describe(checked.error)}`);
  }

  /** Sends a file. @throws as `call` does */
  async upload(path: string, body: Blob): Promise<void> {
    const request: RequestInit = {
      method: 'PUT',
      headers: {
        authorization: `Bearer ${this.token}`,
        'content-type': 'application/octet-stream',
      },
      body,
    };
    const response = await fetch(`${this.url}/api/v1${path}`, request).catch((cause) => {
      throw new HearthError('unavailable', `PUT ${path}: no answer from ${this.url}: ${messageOf(cause)}`, {
        cause,
      });
    });
    const text = await response.text();
    if (response.ok) return;
    const refused = errorBodySchema.safeParse(parseJson(text));
    const code = refused.success && isCode(refused.data.error.code) ? refused.data.error.code : 'internal';
    throw new HearthError(
      code,
      `PUT ${path}: ${response.status}, ${refused.data?.error.message ?? text.slice(0, 200)}`,
    );
  }

  /** Any answer, as it is. @throws HearthError `unavailable` when there is none */
  async raw(method: string, path: string, body?: unknown): Promise<{ status: number; text: string }> {
    const headers: Record<string, string> = { authorization: `Bearer ${this.token}` };
    if (body !== undefined) headers['content-type'] = 'application/json';
    try {
      const response = await fetch(`${this.url}/api/v1${path}`, {
        method,
        headers,
        body: body === undefined ? undefined : JSON.stringify(body),
        signal: AbortSignal.timeout(30_000),
      });
      return { status: response.status, text: await response.text() };
    } catch (cause) {
      throw new HearthError(
        'unavailable',
        `${method} ${path}: no answer from ${this.url}: ${messageOf(cause)}`,
        {
          cause,
        },
      );
    }
  }
}

/**
 * Asks again until `look` gives something other than null or undefined.
 * @throws what `explain` says when `timeoutMs` have passed
 */
export async function waitFor<T>(
  look: () => Promise<T | null | undefined> | T | null | undefined,
  explain: string | (() => string),
  {
    timeoutMs = 60_000,
    everyMs = 100,
    signal,
  }: { timeoutMs?: number; everyMs?: number; signal?: AbortSignal } = {},
): Promise<T> {
  const deadline = Date.now() + timeoutMs;
  for (;;) {
    signal?.throwIfAborted();
    const found = await look();
    if (found !== null && found !== undefined) return found;
    if (Date.now() > deadline) {
      const text = typeof explain === 'string' ? explain : explain();
      throw new HearthError('unavailable', `waited ${timeoutMs / 1000} s in vain: ${text}`);
    }
    await sleep(everyMs, undefined, { signal });
  }
}

function parseJson(text: string): unknown {
  try {
    return text === '' ? null : JSON.parse(text);
  } catch {
    return null;
  }
}

function isCode(code: string): code is ErrorCode {
  return Object.hasOwn(ERROR_CODES, code);
}
