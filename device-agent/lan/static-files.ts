import { createReadStream } from 'node:fs';
import { realpath, stat } from 'node:fs/promises';
import type { IncomingMessage, ServerResponse } from 'node:http';
import path from 'node:path';
import { pipeline } from 'node:stream/promises';
import { gunzipSync } from 'node:zlib';

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

/** Files by their names, gzipped and in base64: what a build puts into one file. */
export type CarriedFiles = Readonly<Record<string, string>>;

/** The dashboard that this program brings with itself, as updates do: the package's belongs to the version before. */
const CARRIED = typeof HEARTH_WEBUI === 'object' ? (HEARTH_WEBUI as CarriedFiles) : null;
/** Put in by the build when it is told. */
declare const HEARTH_WEBUI: unknown;

/** The dashboard's files. Only plain names inside the folder are ever opened; links out of it are not followed. */
export class StaticFiles {
  readonly #folder: string;
  readonly #carried: CarriedFiles | null;

  /** @param carried served instead of the folder's */
  constructor(folder: string, carried: CarriedFiles | null = CARRIED) {
    this.#folder = folder;
    this.#carried = carried;
  }

  async serve(request: IncomingMessage, response: ServerResponse, pathname: string): Promise<void> {
    const name = pathname === '/' ? '/index.html' : pathname;
    if (this.#carried) return this.#serveCarried(this.#carried, name, request, response);
    const plain = await this.#find(name);
    if (!plain) return this.#missing(response, pathname);
    const zipped = takesGzip(request) ? await this.#find(`${name}.gz`) : null;
    const file = zipped ?? plain;
    response.writeHead(200, headersOf(plain.name, file.bytes, zipped !== null));
    if (request.method === 'HEAD') {
      response.end();
      return;
    }
    await pipeline(createReadStream(file.name), response).catch(() => response.destroy());
  }

  #serveCarried(
    carried: CarriedFiles,
    name: string,
    request: IncomingMessage,
    response: ServerResponse,
  ): void {
    const packed = Object.hasOwn(carried, name.slice(1)) ? carried[name.slice(1)] : undefined;
    if (packed === undefined) {
      this.#missing(response, name);
      return;
    }
    const zipped = Buffer.from(packed, 'base64');
    const asZip = takesGzip(request);
    const body = asZip ? zipped : gunzipSync(zipped);
    response.writeHead(200, headersOf(name, body.length, asZip));
    response.end(request.method === 'HEAD' ? undefined : body);
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

function headersOf(name: string, bytes: number, zipped: boolean): Record<string, string | number> {
  const hashed = /[.-][0-9a-zA-Z]{8,}\.\w+$/.test(name);
  return {
    'content-type': TYPES[path.extname(name)] ?? 'application/octet-stream',
    'content-length': bytes,
    'cache-control': hashed ? 'public, max-age=31536000, immutable' : 'no-cache',
    vary: 'accept-encoding',
    ...(zipped ? { 'content-encoding': 'gzip' } : {}),
  };
}

/** Whether gzip is named and not refused by q=0, RFC 9110 12.5.3. */
function takesGzip(request: IncomingMessage): boolean {
  const named = /(?:^|,)\s*gzip\s*(?:;\s*q=([\d.]+))?\s*(?:,|$)/i.exec(
    String(request.headers['accept-encoding'] ?? ''),
  );
  return named !== null && Number(named[1] ?? 1) > 0;
}
