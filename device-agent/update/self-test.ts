import { createHash, randomBytes } from 'node:crypto';
import http from 'node:http';
import type { AddressInfo } from 'node:net';
import { stateOf } from '#agent/store/catalog.ts';
import type { Store } from '#agent/store/store.ts';
import { wait } from '#agent/time/backoff.ts';
import { mintToken } from '#protocol/delivery-token.ts';
import { HearthError } from '#protocol/errors.ts';
import { LIMITS } from '#protocol/limits.ts';

/** Of no tenant: what is served of it is counted for nobody and told to nobody. */
export const SELF_TEST_SITE = 'site-se1ftest00000000';
export const SELF_TEST_ASSET = 'asset-se1ftest00000000';

const SIZE_BYTES = 96 * 1024;
const POLL_MS = 100;
const PATH = '/self-test';

export interface SelfTestParts {
  store: Store;
  boxId: string;
  deliveryKey: Buffer;
  /** Where this box's own content port is, from here. */
  contentUrl: string;
}

/**
 * Does once what a box is for: fetches an object (from this very process), verifies it, writes it to the disk, and
 * serves it by HTTP to a client with a token; the whole of it and a range.
 * @throws what went wrong; `signal` ends it
 */
export async function selfTest(parts: SelfTestParts, signal: AbortSignal): Promise<void> {
  const { store } = parts;
  const bytes = randomBytes(SIZE_BYTES);
  const origin = await Origin.open(bytes);
  try {
    const sha256 = createHash('sha256').update(bytes).digest('hex');
    const hash = createHash('sha256').update(bytes).digest('base64url');
    await store.want(
      {
        assetId: SELF_TEST_ASSET,
        siteId: SELF_TEST_SITE,
        path: PATH,
        originUrl: origin.url,
        sizeBytes: bytes.length,
        sha256,
        chunkSizeBytes: LIMITS.chunkSizeBytesMin,
        chunkHashes: hash,
        headers: { contentType: 'application/octet-stream', cacheControl: 'no-store', lastModified: null },
      },
      null,
      Date.now(),
    );
    for (;;) {
      const object = store.catalog.objects.get(sha256);
      if (object && stateOf(object) === 'held') break;
      await wait(POLL_MS, signal);
      signal.throwIfAborted();
    }
    await askFor(parts, bytes, null, signal);
    await askFor(parts, bytes, { from: 40_000, to: 79_999 }, signal);
  } finally {
    await origin.close();
    await store.unwant(SELF_TEST_ASSET, 'deleted').catch(() => undefined);
  }
}

async function askFor(
  { boxId, deliveryKey, contentUrl }: SelfTestParts,
  bytes: Buffer,
  range: { from: number; to: number } | null,
  signal: AbortSignal,
): Promise<void> {
  const scope = {
    boxId,
    siteId: SELF_TEST_SITE,
    prefix: PATH,
    maxBytes: 4 * SIZE_BYTES,
    expiresAtMs: (2 ** 32 - 1) * 1000,
  };
  // The seal proves to the fleet who issued it, and no fleet will see this one.
  const token = mintToken(scope, deliveryKey, deliveryKey);
  const { status, body } = await get(
    `${contentUrl}/c/${token}/${SELF_TEST_SITE}${PATH}`,
    range ? { range: `bytes=${range.from}-${range.to}` } : {},
    signal,
  );
  const expected = range ? bytes.subarray(range.from, range.to + 1) : bytes;
  if (status !== (range ? 206 : 200) || !body.equals(expected)) {
    throw new HearthError(
      'update_unhealthy',
      `its own content port answered ${status} with ${body.length} bytes`,
    );
  }
}

/** A GET of a small answer. */
export function get(
  url: string,
  headers: Record<string, string>,
  signal: AbortSignal,
): Promise<{ status: number; body: Buffer }> {
  return new Promise((resolve, reject) => {
    const request = http.get(url, { agent: false, headers, signal }, (response) => {
      const pieces: Buffer[] = [];
      let size = 0;
      response.on('data', (piece: Buffer) => {
        size += piece.length;
        if (size > 2 * SIZE_BYTES) request.destroy(new Error('the answer is too long'));
        else pieces.push(piece);
      });
      response.on('error', reject);
      response.on('end', () => resolve({ status: response.statusCode ?? 0, body: Buffer.concat(pieces) }));
    });
    request.on('error', reject);
  });
}

/** A web server on loopback that has these bytes. */
class Origin {
  readonly #server: http.Server;

  private constructor(server: http.Server) {
    this.#server = server;
  }

  static async open(bytes: Buffer): Promise<Origin> {
    const server = http.createServer((request, response) => {
      const [, from = '0', to = ''] = /^bytes=(\d+)-(\d+)$/.exec(request.headers.range ?? '') ?? [];
      const part = bytes.subarray(Number(from), to === '' ? undefined : Number(to) + 1);
      const range = `bytes ${from}-${Number(from) + part.length - 1}/${bytes.length}`;
      response.writeHead(request.headers.range ? 206 : 200, {
        'content-length': part.length,
        ...(request.headers.range ? { 'content-range': range } : {}),
      });
      response.end(part);
    });
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject);
      server.listen(0, '127.0.0.1', () => resolve());
    });
    return new Origin(server);
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}/self-test`;
  }

  async close(): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise<void>((resolve) => this.#server.close(() => resolve()));
  }
}
