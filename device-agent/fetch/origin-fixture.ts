import type { IncomingMessage, ServerResponse } from 'node:http';
import http from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import { parseRange } from '#agent/serve/range.ts';

export type Handler = (request: IncomingMessage, response: ServerResponse, bytes: Buffer) => void;

/** A real origin on loopback that honours Range, and misbehaves as told. */
export class OriginFixture {
  readonly files = new Map<string, Buffer>();
  /** What was asked: method, path and Range. */
  readonly asked: { path: string; range: string | undefined }[] = [];
  /** Answers instead of the ordinary handler while set. */
  handler: Handler | null = null;
  readonly #sockets = new Set<Socket>();
  readonly #server = http.createServer((request, response) => {
    const path = request.url ?? '';
    this.asked.push({ path, range: request.headers.range });
    const bytes = this.files.get(path);
    if (!bytes) {
      response.writeHead(404).end();
      return;
    }
    (this.handler ?? ordinary)(request, response, bytes);
  });
  #port = 0;

  static async start(): Promise<OriginFixture> {
    const origin = new OriginFixture();
    origin.#server.on('connection', (socket) => {
      origin.#sockets.add(socket);
      socket.on('close', () => origin.#sockets.delete(socket));
    });
    await origin.up();
    return origin;
  }

  /** Listens (again), on the same port. */
  async up(): Promise<void> {
    await new Promise<void>((resolve) => this.#server.listen(this.#port, '127.0.0.1', () => resolve()));
    this.#port = (this.#server.address() as AddressInfo).port;
  }

  /** Goes down: connections are cut. */
  async close(): Promise<void> {
    await new Promise<void>((resolve) => {
      this.#server.close(() => resolve());
      for (const socket of this.#sockets) socket.destroy();
    });
  }

  url(path: string): string {
    return `http://127.0.0.1:${this.#port}${path}`;
  }
}

/** Answers as a good origin does. */
export const ordinary: Handler = (request, response, bytes) => {
  const asked = parseRange(request.headers.range, bytes.length);
  if (asked.kind === 'unsatisfiable') {
    response.writeHead(416, { 'content-range': `bytes */${bytes.length}` }).end();
  } else if (asked.kind === 'part') {
    const [{ start, end }] = asked.spans;
    response.writeHead(206, {
      'content-range': `bytes ${start}-${end - 1}/${bytes.length}`,
      'content-length': end - start,
    });
    response.end(bytes.subarray(start, end));
  } else {
    response.writeHead(200, { 'content-length': bytes.length }).end(bytes);
  }
};
