import { createReadStream } from 'node:fs';
import { realpath, stat } from 'node:fs/promises';
import type { IncomingMessage, ServerResponse } from 'node:http';
import path from 'node:path';
import { pipeline } from 'node:stream/promises';

const TYPES: Record<string, string> = {
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
  '.svg': 'image/svg+xml',
  '.png': 'image/png',
  '.ico': 'image/x-icon',
  '.json': 'application/json',
  '.webmanifest': 'application/manifest+json',
  '.woff2': 'font/woff2',
  '.map': 'application/json',
  '.txt': 'text/plain; charset=utf-8',
};
const NOT_BUILT = `<!doctype html><meta charset="utf-8"><title>Hearth</title>
<h1>Hearth</h1><p>The box is running, but its dashboard has not been built. Run <code>npm run build:webui</code>
and load this page again.</p>
`;

/** The dashboard's files. Only plain names inside the folder are ever opened; links out of it are not followed. */
export class StaticFiles {
  readonly #folder: string;

  constructor(folder: string) {
    this.#folder = folder;
  }

  async serve(request: IncomingMessage, response: ServerResponse, pathname: string): Promise<void> {
    const name = pathname === '/' ? '/index.html' : pathname;
    const plain = await this.#find(name);
    if (!plain) return this.#missing(response, pathname);
    const zipped = takesGzip(request) ? await this.#find(`${name}.gz`) : null;
    const file = zipped ?? plain;
    const hashed = /[.-][0-9a-zA-Z]{8,}\.\w+$/.test(plain.name);
    response.writeHead(200, {
      'content-type': TYPES[path.extname(plain.name)] ?? 'application/octet-stream',
      'content-length': file.bytes,
      'cache-control': hashed ? 'public, max-age=31536000, immutable' : 'no-cache',
      vary: 'accept-encoding',
      ...(zipped ? { 'content-encoding': 'gzip' } : {}),
    });
    if (request.method === 'HEAD') {
      response.end();
      return;
    }
    await pipeline(createReadStream(file.name), response).catch(() => response.destroy());
  }

  async #find(pathname: string): Promise<{ name: string; bytes: number } | null> {
    // Plain segments only: no dots in front, no escapes, nothing a file system could read otherwise.
    if (!/^(\/[A-Za-z0-9_][A-Za-z0-9._-]*)+$/.test(pathname) || pathname.length > 200) return null;
    try {
      const folder = await realpath(this.#folder);
      const name = await realpath(path.join(folder, pathname));
      if (!name.startsWith(folder + path.sep)) return null;
      const found = await stat(name);
      return found.isFile() ? { name, bytes: found.size } : null;
    } catch {
      return null;
    }
  }

  #missing(response: ServerResponse, pathname: string): void {
    const isPage = pathname === '/';
    const body = isPage ? NOT_BUILT : 'Nothing is here.\n';
    response.writeHead(isPage ? 200 : 404, {
      'content-type': isPage ? 'text/html; charset=utf-8' : 'text/plain; charset=utf-8',
      'content-length': Buffer.byteLength(body),
      'cache-control': 'no-store',
    });
    response.end(body);
  }
}

/** Whether gzip is named and not refused by q=0, RFC 9110 12.5.3. */
function takesGzip(request: IncomingMessage): boolean {
  const named = /(?:^|,)\s*gzip\s*(?:;\s*q=([\d.]+))?\s*(?:,|$)/i.exec(
    String(request.headers['accept-encoding'] ?? ''),
  );
  return named !== null && Number(named[1] ?? 1) > 0;
}
