import assert from 'node:assert/strict';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import type { IncomingMessage, OutgoingHttpHeaders } from 'node:http';
import https from 'node:https';
import { join } from 'node:path';
import { createCa, openCa } from '#fleet/keys/certificate-authority.ts';
import type { TestBox } from '#test/support/box.ts';

export interface AwayAnswer {
  status: number;
  headers: IncomingMessage['headers'];
  text: string;
  json: () => { error?: { code: string } } & Record<string, unknown>;
}

/** A browser away from home, as far as cookies and headers go: it keeps cookies by path, and sends its Origin. */
export class AwayVisitor {
  readonly base: string;
  readonly #ca: string;
  readonly #port: number;
  /** By path and name. */
  readonly #jar = new Map<string, { path: string; pair: string }>();

  /** @param base the relay's address, which is on this machine here */
  constructor(base: string, ca: string) {
    this.base = base;
    this.#ca = ca;
    this.#port = Number(new URL(base).port);
  }

  /** What it would send to that path. */
  cookiesFor(path: string): string {
    return [...this.#jar.values()]
      .filter((cookie) => path.startsWith(cookie.path))
      .map(({ pair }) => pair)
      .join('; ');
  }

  /** Asks; a form as a string, else JSON. */
  async ask(
    method: string,
    path: string,
    body?: unknown,
    headers: OutgoingHttpHeaders = {},
  ): Promise<AwayAnswer> {
    const answer = await this.open(method, path, body, headers);
    let text = '';
    for await (const piece of answer) text += String(piece);
    return {
      status: answer.statusCode ?? 0,
      headers: answer.headers,
      text,
      json: () => JSON.parse(text) as ReturnType<AwayAnswer['json']>,
    };
  }

  /** The same, with the answer still to be read. */
  async open(
    method: string,
    path: string,
    body?: unknown,
    headers: OutgoingHttpHeaders = {},
  ): Promise<IncomingMessage> {
    const { host, hostname, origin } = new URL(this.base);
    const isForm = typeof body === 'string';
    const request = https.request({
      host: '127.0.0.1',
      port: this.#port,
      servername: hostname,
      ca: this.#ca,
      method,
      path,
      agent: false,
      headers: {
        host,
        cookie: this.cookiesFor(path),
        ...(method === 'GET' ? {} : { origin, 'x-hearth-csrf': '1' }),
        ...(body === undefined
          ? {}
          : { 'content-type': isForm ? 'application/x-www-form-urlencoded' : 'application/json' }),
        ...headers,
      },
    });
    request.end(body === undefined ? undefined : isForm ? body : JSON.stringify(body));
    const [answer] = (await once(request, 'response')) as [IncomingMessage];
    answer.on('error', () => undefined);
    for (const cookie of answer.headers['set-cookie'] ?? []) {
      const [pair = ''] = cookie.split(';');
      const at = /; Path=([^;]+)/.exec(cookie)?.[1] ?? '/';
      this.#jar.set(`${at} ${pair.split('=')[0]}`, { path: at, pair });
    }
    return answer;
  }

  /** Shows the key of a box. @returns the status */
  async showKey(boxId: string, key: string): Promise<number> {
    return (await this.ask('POST', `/my/${boxId}/login`, `key=${encodeURIComponent(key)}`)).status;
  }
}

/** A certificate for a relay's own name, in files. @returns them, and the CA a browser is to trust */
export async function ownCertificate(folder: string, name: string) {
  const issuer = openCa(await createCa());
  const { certificatePem, keyPem } = await issuer.issueServer([name]);
  const files = { cert: join(folder, `${name}.pem`), key: join(folder, `${name}.key`) };
  writeFileSync(files.cert, certificatePem);
  writeFileSync(files.key, keyPem);
  return { ca: issuer.certificatePem, files };
}

/** The household at home, at its box's own page. */
export class AtHome {
  readonly #box: TestBox;
  #cookie = '';

  constructor(box: TestBox) {
    this.#box = box;
  }

  async call<T>(method: string, path: string, body?: unknown): Promise<T> {
    const response = await fetch(`${this.#box.lanUrl}/api${path}`, {
      method,
      headers: { 'content-type': 'application/json', 'x-hearth-csrf': '1', cookie: this.#cookie },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    this.#cookie = response.headers.get('set-cookie')?.split(';')[0] ?? this.#cookie;
    assert.ok(response.ok, `${method} ${path}: ${response.status}`);
    return (await response.json()) as T;
  }
}
