import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import http from 'node:http';
import net from 'node:net';
import type { TestContext } from 'node:test';
import { hold, manifestFor, openStore, silent, testSiteId } from '#agent/store/store-fixture.ts';
import { Clock } from '#agent/time/clock.ts';
import type { AssetManifest } from '#protocol/asset.ts';
import { encodePath } from '#protocol/content-url.ts';
import { mintToken } from '#protocol/delivery-token.ts';
import { Shaper } from '#shaping/shaper.ts';
import type { ContentServerParts, WorkersWish } from './content-server.ts';
import { ContentServer } from './content-server.ts';
import type { ContentLimits } from './limits.ts';
import { CONTENT_LIMITS } from './limits.ts';
import { ServingMeter } from './meter.ts';
import { TokenGate } from './token-gate.ts';

export const boxId = 'box-0123456789abcdef';
export const key = randomBytes(32);

export interface Delivered {
  token: string;
  assetId: string;
  bytes: number;
  requests: number;
}

/** Worker processes of the servers of this file. */
let workers: WorkersWish | null = null;

/** From now on servers have such workers, so that the tests of a file can be run on them as well. */
export function useWorkers(wish: WorkersWish): void {
  workers = wish;
}

/** A content server on a real store, drained when the test ends. */
export async function serve(
  t: TestContext,
  limits: Partial<ContentLimits> = {},
  clock = new Clock(),
  more: Partial<ContentServerParts> = {},
) {
  const made = await openStore(t);
  const meter = new ServingMeter(clock);
  const tokens = new TokenGate();
  tokens.configure(boxId, key);
  const delivered: Delivered[] = [];
  const readFailed: string[] = [];
  const content = new ContentServer({
    store: made.store,
    tokens,
    meter,
    clock,
    log: silent,
    limits: { ...CONTENT_LIMITS, ...limits },
    boxId: () => boxId,
    routerUrl: () => 'http://router.test:7081/',
    up: new Shaper(),
    accepting: () => true,
    ageSeconds: () => 0,
    onDelivered: ({ token }, assetId, bytes, requests) => delivered.push({ token, assetId, bytes, requests }),
    onReadFailed: (sha256) => readFailed.push(sha256),
    workers,
    ...more,
  });
  await content.crew?.ready();
  const port = await content.listen(0, '127.0.0.1');
  let drained = false;
  const drain = async (boundMs: number) => {
    drained = true;
    await content.drain(boundMs);
  };
  t.after(async () => {
    if (!drained) await content.drain(0);
  });
  const put = async (
    bytes: Buffer,
    path: string,
    headers: Partial<AssetManifest['headers']> = {},
  ): Promise<AssetManifest> => {
    const plain = manifestFor(bytes, 'http://127.0.0.1/', { path });
    const manifest = { ...plain, headers: { ...plain.headers, ...headers } };
    await hold(made.store, bytes, manifest);
    return manifest;
  };
  return { ...made, content, port, meter, clock, delivered, readFailed, drain, put };
}

export function mint(
  prefix: string,
  more: { maxBytes?: number; expiresAtMs?: number; boxId?: string } = {},
): string {
  const expiresAtMs = more.expiresAtMs ?? Date.now() + 60_000;
  const scope = {
    boxId: more.boxId ?? boxId,
    siteId: testSiteId,
    prefix,
    maxBytes: more.maxBytes ?? 2 ** 40,
    expiresAtMs,
  };
  return mintToken(scope, key, randomBytes(32));
}

export const target = (token: string, path: string) => `/c/${token}/${testSiteId}${encodePath(path)}`;

export interface Answer {
  status: number;
  headers: http.IncomingHttpHeaders;
  body: Buffer;
}

export async function ask(
  port: number,
  path: string,
  options: { method?: string; headers?: http.OutgoingHttpHeaders; agent?: http.Agent } = {},
): Promise<Answer> {
  const request = http.request({ host: '127.0.0.1', port, path, agent: false, ...options });
  request.end();
  const [response] = (await once(request, 'response')) as [http.IncomingMessage];
  const pieces: Buffer[] = [];
  for await (const piece of response) pieces.push(piece as Buffer);
  return { status: response.statusCode ?? 0, headers: response.headers, body: Buffer.concat(pieces) };
}

export const sum = (delivered: Delivered[]) => ({
  bytes: delivered.reduce((total, line) => total + line.bytes, 0),
  requests: delivered.reduce((total, line) => total + line.requests, 0),
});

/** Sends requests by one connection without reading; `end` closes this side after them. */
export function pipeline(port: number, requests: string, end = false): net.Socket {
  const socket = net.connect({ port, host: '127.0.0.1', allowHalfOpen: true });
  socket.on('error', () => undefined);
  if (end) socket.end(requests, 'latin1');
  else socket.write(requests, 'latin1');
  return socket;
}

/** Everything that comes until the other side closes. */
export async function readAll(socket: net.Socket): Promise<string> {
  const pieces: Buffer[] = [];
  socket.on('end', () => socket.end());
  for await (const piece of socket) pieces.push(piece as Buffer);
  return Buffer.concat(pieces).toString('latin1');
}
