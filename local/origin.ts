import type { Stats } from 'node:fs';
import type { FileHandle } from 'node:fs/promises';
import { open } from 'node:fs/promises';
import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import { createServer } from 'node:http';
import { extname, join } from 'node:path';
import { pipeline } from 'node:stream/promises';

const TYPES: Record<string, string> = {
  '.mp4': 'video/mp4',
  '.jpg': 'image/jpeg',
  '.m3u8': 'application/vnd.apple.mpegurl',
  '.ts': 'video/mp2t',
  '.html': 'text/html; charset=utf-8',
  '.txt': 'text/plain; charset=utf-8',
};

export interface Origin {
  /** Where it listens, without a slash at the end. */
  url: string;
  port: number;
  close(): Promise<void>;
}

/**
 * A small static web server on 127.0.0.1 that stands for a tenant's origin: GET and HEAD, single byte ranges,
 * validators and conditional requests (RFC 9110 sections 13 and 14).
 * @param port 0 for any free one
 */
export async function startOrigin(root: string, port = 0): Promise<Origin> {
  const server = createServer((request, response) => {
    serveFile(root, request, response).catch(() => response.destroy());
  });
  return listen(server, port);
}

/** Listens on 127.0.0.1 and closes at once, connections included. */
export async function listen(server: Server, port: number): Promise<Origin> {
  await new Promise<void>((done, fail) => {
    server.once('error', fail);
    server.listen(port, '127.0.0.1', done);
  });
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('not listening on a port');
  return {
    url: `http://127.0.0.1:${address.port}`,
    port: address.port,
    close: () =>
      new Promise((done) => {
        server.close(() => done());
        server.closeAllConnections();
      }),
  };
}

/** Answers one request from the files below `root`. */
export async function serveFile(
  root: string,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  if (request.method !== 'GET' && request.method !== 'HEAD') {
    return refuse(response, 405, 'GET and HEAD only', { allow: 'GET, HEAD' });
  }
  const path = filePath(root, request.url ?? '/');
  const file = path === null ? null : await open(path).catch(() => null);
  try {
    const stat = await file?.stat();
    if (path === null || !file || !stat?.isFile()) return refuse(response, 404, 'no such file');
    await answer(request, response, file, stat, path);
  } finally {
    await file?.close();
  }
}

async function answer(
  request: IncomingMessage,
  response: ServerResponse,
  file: FileHandle,
  stat: Stats,
  path: string,
): Promise<void> {
  const tag = `"${stat.size.toString(16)}-${Math.trunc(stat.mtimeMs).toString(16)}"`;
  const modified = stat.mtime.toUTCString();
  const { headers } = request;
  response.setHeader('etag', tag);
  response.setHeader('last-modified', modified);
  response.setHeader('cache-control', 'public, max-age=3600');
  if (isUnchanged(headers, tag, modified)) {
    response.writeHead(304).end();
    return;
  }
  response.setHeader('accept-ranges', 'bytes');
  response.setHeader('content-type', TYPES[extname(path)] ?? 'application/octet-stream');
  // If-Range with an old validator asks for the whole (RFC 9110 section 13.1.5).
  const ifRange = headers['if-range'];
  const applies = ifRange === undefined || ifRange === tag || ifRange === modified;
  const range = applies && request.method === 'GET' ? parseRange(headers.range, stat.size) : null;
  if (range === 'unsatisfiable') {
    return refuse(response, 416, 'no such range', { 'content-range': `bytes */${stat.size}` });
  }
  const start = range?.start ?? 0;
  const length = range?.length ?? stat.size;
  response.setHeader('content-length', length);
  if (range) response.setHeader('content-range', `bytes ${start}-${start + length - 1}/${stat.size}`);
  response.writeHead(range ? 206 : 200);
  if (request.method === 'HEAD' || length === 0) {
    response.end();
    return;
  }
  const body = file.createReadStream({
    start,
    end: start + length - 1,
    highWaterMark: 1 << 20,
    autoClose: false,
  });
  await pipeline(body, response);
}

function isUnchanged(headers: IncomingMessage['headers'], tag: string, modified: string): boolean {
  const match = headers['if-none-match'];
  if (match !== undefined) {
    return match === '*' || match.split(',').some((one) => one.trim().replace(/^W\//, '') === tag);
  }
  const since = Date.parse(headers['if-modified-since'] ?? '');
  return Date.parse(modified) <= since;
}

/**
 * One byte range (RFC 9110 section 14.1.2).
 * @returns null for no range, several, or another unit: the whole is then sent
 */
export function parseRange(
  header: string | undefined,
  sizeBytes: number,
): { start: number; length: number } | 'unsatisfiable' | null {
  const match = /^bytes=(\d*)-(\d*)$/.exec(header?.trim() ?? '');
  if (!match || (match[1] === '' && match[2] === '')) return null;
  const [first, last] = [match[1], match[2]];
  if (first === '') {
    const length = Math.min(Number(last), sizeBytes);
    return length === 0 ? 'unsatisfiable' : { start: sizeBytes - length, length };
  }
  const start = Number(first);
  const end = last === '' ? sizeBytes - 1 : Math.min(Number(last), sizeBytes - 1);
  if (last !== '' && Number(last) < start) return null;
  return start >= sizeBytes ? 'unsatisfiable' : { start, length: end - start + 1 };
}

/** @returns null for a path that leaves the root or cannot be a file */
function filePath(root: string, target: string): string | null {
  try {
    const segments = decodeURIComponent(target.split('?')[0] ?? '')
      .split('/')
      .slice(1);
    const bad = segments.some((part) => part === '' || part === '.' || part === '..' || /[\0\\/]/.test(part));
    return bad ? null : join(root, ...segments);
  } catch {
    return null;
  }
}

function refuse(
  response: ServerResponse,
  status: number,
  text: string,
  headers: Record<string, string> = {},
): void {
  response.writeHead(status, { 'content-type': 'text/plain; charset=utf-8', ...headers }).end(`${text}\n`);
}
