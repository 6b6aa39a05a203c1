import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { createServer } from 'node:http';
import type { Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Origin } from '#local/origin.ts';
import { listen, serveFile } from '#local/origin.ts';

/** What an origin can do wrong with one path. */
export type Fault =
  /** Closes the connection without an answer. */
  | 'down'
  /** Accepts and never answers. */
  | 'silent'
  | { status: number }
  /** Promises the whole and breaks off after so many bytes. */
  | { truncateAt: number }
  /** Other bytes of the same length, under the same headers. */
  | 'changed'
  /** Sends the whole with 200 whatever range is asked for. */
  | 'ignores-range'
  | { bytesPerSecond: number };

/** A real origin on loopback whose faults are switched path by path. */
export class FaultyOrigin {
  readonly root: string;
  readonly faults = new Map<string, Fault>();
  /** Requests so far, oldest first. */
  readonly requests: { method: string; path: string; range: string | undefined; atMs: number }[] = [];
  /** The most connections open at once that boxes asked on; the fleet-server's are others. */
  mostFromBoxes = 0;
  private server: Origin | null = null;
  private port = 0;

  private constructor(root: string) {
    this.root = root;
  }

  static async start(): Promise<FaultyOrigin> {
    const origin = new FaultyOrigin(mkdtempSync(join(tmpdir(), 'hearth-test-origin-')));
    await origin.up();
    return origin;
  }

  get url(): string {
    return `http://127.0.0.1:${this.port}`;
  }

  /** Puts a file at `path` (again: with a new modification time, as an origin that changes would). */
  write(path: string, bytes: Buffer | string): void {
    const file = join(this.root, path);
    mkdirSync(dirname(file), { recursive: true });
    writeFileSync(file, bytes);
  }

  read(path: string): Buffer {
    return readFileSync(join(this.root, path));
  }

  /** Refuses connections until `up`. */
  async down(): Promise<void> {
    await this.server?.close();
    this.server = null;
  }

  async up(): Promise<void> {
    if (this.server) return;
    const fromBoxes = new Set<Socket>();
    const server = createServer((request, response) => {
      if (request.headers['user-agent'] === 'hearth-agent') this.count(fromBoxes, request.socket);
      this.answer(request, response).catch(() => response.destroy());
    });
    this.server = await listen(server, this.port);
    this.port = this.server.port;
  }

  async close(): Promise<void> {
    await this.down();
    rmSync(this.root, { recursive: true, force: true });
  }

  private count(open: Set<Socket>, socket: Socket): void {
    if (open.has(socket)) return;
    open.add(socket);
    socket.once('close', () => open.delete(socket));
    // One that was closed for this one may be seen to close in the same turn, but after it.
    setImmediate(() => {
      this.mostFromBoxes = Math.max(this.mostFromBoxes, open.size);
    });
  }

  private async answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const path = decodeURIComponent(request.url?.split('?')[0] ?? '/');
    this.requests.push({
      method: request.method ?? '',
      path,
      range: request.headers.range,
      atMs: performance.now(),
    });
    const fault = this.faults.get(path);
    if (fault === undefined) return serveFile(this.root, request, response);
    if (fault === 'silent') return;
    if (fault === 'down') {
      request.socket.destroy();
      return;
    }
    if (fault === 'ignores-range') {
      delete request.headers.range;
      return serveFile(this.root, request, response);
    }
    if (typeof fault === 'object' && 'status' in fault) {
      response.writeHead(fault.status, { 'content-type': 'text/plain' }).end('fault\n');
      return;
    }
    await this.rewrite(fault, path, request, response);
  }

  /** Serves through a writer that spoils what passes; the file's own headers stay. */
  private async rewrite(
    fault: Exclude<Fault, string | { status: number }> | 'changed',
    path: string,
    request: IncomingMessage,
    response: ServerResponse,
  ): Promise<void> {
    const bytes = this.read(path);
    const range = /^bytes=(\d+)-(\d*)$/.exec(request.headers.range ?? '');
    const start = range ? Number(range[1]) : 0;
    const end = range?.[2] ? Math.min(Number(range[2]), bytes.length - 1) : bytes.length - 1;
    const body = Buffer.from(bytes.subarray(start, end + 1));
    response.writeHead(range ? 206 : 200, {
      'content-length': body.length,
      'content-type': 'application/octet-stream',
      ...(range ? { 'content-range': `bytes ${start}-${end}/${bytes.length}` } : {}),
    });
    if (request.method === 'HEAD') {
      response.end();
      return;
    }
    if (fault === 'changed') {
      for (let at = 0; at < body.length; at += 1000) body[at] = (body[at] ?? 0) ^ 0xff;
      response.end(body);
    } else if ('truncateAt' in fault) {
      const kept = body.subarray(0, Math.max(0, fault.truncateAt - start));
      response.write(kept, () => response.destroy());
    } else {
      const piece = Math.max(1, Math.round(fault.bytesPerSecond / 20));
      for (let at = 0; at < body.length && !response.destroyed; at += piece) {
        response.write(body.subarray(at, at + piece));
        await sleep(50);
      }
      response.end();
    }
  }
}
