import { createHash, randomInt } from 'node:crypto';
import { type ContentHeaders, contentHeadersSchema } from '#protocol/asset.ts';
import { HearthError, messageOf } from '#protocol/errors.ts';
import { newNonce } from '#protocol/ids.ts';
import { chunkCount, chunkSizeFor, LIMITS } from '#protocol/limits.ts';
import { clip } from '#protocol/messages.ts';
import { contentTypeFor } from './content-type.ts';

/** What one pass over an asset at its origin tells. */
export interface Ingested {
  sizeBytes: number;
  sha256: string;
  chunkSizeBytes: number;
  /** 32 bytes for each chunk. */
  chunkHashes: Buffer;
  headers: ContentHeaders;
  challenges: Challenge[];
}

/** A spot check made in advance: SHA-256(nonce || chunk), which only who has the chunk can answer. */
export interface Challenge {
  chunkIndex: number;
  nonce: string;
  proof: string;
}

export interface IngestOptions {
  signal: AbortSignal;
  /** An origin that sends nothing for this long has stalled, milliseconds. */
  stallMs?: number;
  fetch?: typeof fetch;
  /** Called as bytes come in, with how many so far and of how many (null when the origin does not say). */
  onProgress?: (readBytes: number, sizeBytes: number | null) => void;
}

const CHALLENGES = 32;

/**
 * Reads an asset from its origin once and records its size, hashes and headers. Refuses what changes while it
 * is read: the validators (ETag, Last-Modified, length) are asked for again afterwards and must be the same.
 * @throws HearthError `origin_unreachable`, `origin_status`, `origin_truncated`, `origin_changed`,
 *   `origin_too_large`
 */
export async function ingest(url: string, path: string, options: IngestOptions): Promise<Ingested> {
  const request = options.fetch ?? fetch;
  const watch = new StallWatch(options.stallMs ?? 30_000, options.signal);
  try {
    const response = await ask(request, url, 'GET', watch);
    const declared = contentLength(response);
    if (declared !== null && declared > LIMITS.assetSizeBytes) {
      await response.body?.cancel();
      throw new HearthError(
        'origin_too_large',
        `${url} has ${declared} bytes; at most ${LIMITS.assetSizeBytes} are taken`,
      );
    }
    const before = validators(response);
    const hashes = new ChunkHasher(declared);
    try {
      for await (const piece of response.body ?? []) {
        watch.alive();
        hashes.add(piece, url);
        options.onProgress?.(hashes.sizeBytes, declared);
      }
    } catch (error) {
      if (error instanceof HearthError) throw error;
      options.signal.throwIfAborted();
      throw new HearthError(
        'origin_truncated',
        `${url} broke off after ${hashes.sizeBytes} bytes: ${reasonOf(error)}`,
        {
          cause: error,
        },
      );
    }
    if (declared !== null && hashes.sizeBytes !== declared) {
      throw new HearthError(
        'origin_truncated',
        `${url} promised ${declared} bytes and sent ${hashes.sizeBytes}`,
      );
    }
    const again = await ask(request, url, 'HEAD', watch).catch((error: unknown) => {
      // Some origins do not answer HEAD; then only the boxes' own checks can notice a change.
      if (error instanceof HearthError && error.code === 'origin_status') return null;
      throw error;
    });
    const after = again && validators(again);
    const changed =
      after &&
      (['etag', 'lastModified', 'length'] as const).find(
        (name) => before[name] !== null && after[name] !== null && before[name] !== after[name],
      );
    if (changed) {
      throw new HearthError(
        'origin_changed',
        `${url} changed while it was read (${changed}); try again when it is still`,
      );
    }
    return {
      ...hashes.finish(),
      headers: {
        contentType: headerText(response, 'contentType') ?? contentTypeFor(path),
        cacheControl: headerText(response, 'cacheControl'),
        lastModified: headerText(response, 'lastModified'),
      },
    };
  } finally {
    watch.close();
  }
}

/** Hashes the whole and each chunk in one pass, holding no more than a piece at a time. */
class ChunkHasher {
  sizeBytes = 0;
  readonly #declared: number | null;
  readonly #chunkSize: number;
  readonly #whole = createHash('sha256');
  readonly #hashes: Buffer[] = [];
  readonly #chosen = new Set<number>();
  readonly #challenges: Challenge[] = [];
  #chunk = createHash('sha256');
  #chunkBytes = 0;
  #challenge: { nonce: string; hash: ReturnType<typeof createHash> } | null = null;

  constructor(declaredBytes: number | null) {
    this.#declared = declaredBytes;
    this.#chunkSize = chunkSizeFor(declaredBytes ?? 0);
    const count = declaredBytes === null ? CHALLENGES : chunkCount(declaredBytes, this.#chunkSize);
    while (this.#chosen.size < Math.min(CHALLENGES, count)) this.#chosen.add(randomInt(count));
  }

  add(piece: Uint8Array, url: string): void {
    this.#whole.update(piece);
    for (let offset = 0; offset < piece.length; ) {
      if (this.#chunkBytes === 0) this.#begin(url);
      const part = piece.subarray(offset, offset + this.#chunkSize - this.#chunkBytes);
      this.#chunk.update(part);
      this.#challenge?.hash.update(part);
      this.#chunkBytes += part.length;
      this.sizeBytes += part.length;
      offset += part.length;
      if (this.#chunkBytes === this.#chunkSize) this.#end();
    }
    if (this.#declared !== null && this.sizeBytes > this.#declared) {
      throw new HearthError(
        'origin_changed',
        `${url} sent more than the ${this.#declared} bytes it promised`,
      );
    }
  }

  finish(): Omit<Ingested, 'headers'> {
    if (this.#chunkBytes > 0) this.#end();
    return {
      sizeBytes: this.sizeBytes,
      sha256: this.#whole.digest('hex'),
      chunkSizeBytes: this.#chunkSize,
      chunkHashes: Buffer.concat(this.#hashes),
      challenges: this.#challenges,
    };
  }

  #begin(url: string): void {
    const index = this.#hashes.length;
    if (index >= LIMITS.chunksPerAsset) {
      throw new HearthError(
        'origin_too_large',
        `${url} sends no Content-Length; at most ${LIMITS.chunksPerAsset * this.#chunkSize} bytes are taken without it`,
      );
    }
    if (this.#chosen.has(index)) {
      const nonce = newNonce();
      this.#challenge = { nonce, hash: createHash('sha256').update(Buffer.from(nonce, 'hex')) };
    }
  }

  #end(): void {
    if (this.#challenge) {
      const { nonce, hash } = this.#challenge;
      this.#challenges.push({ chunkIndex: this.#hashes.length, nonce, proof: hash.digest('hex') });
      this.#challenge = null;
    }
    this.#hashes.push(this.#chunk.digest());
    this.#chunk = createHash('sha256');
    this.#chunkBytes = 0;
  }
}

/** Aborts when nothing came for a while, or when the caller aborts. */
class StallWatch {
  readonly #controller = new AbortController();
  readonly #outer: AbortSignal;
  readonly #onAbort = () => this.#controller.abort(this.#outer.reason);
  readonly #timer: NodeJS.Timeout;

  constructor(stallMs: number, outer: AbortSignal) {
    this.#outer = outer;
    outer.addEventListener('abort', this.#onAbort);
    if (outer.aborted) this.#onAbort();
    this.#timer = setTimeout(
      () => this.#controller.abort(new Error(`nothing came for ${stallMs} ms`)),
      stallMs,
    );
  }

  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  throwIfStopped(): void {
    this.#outer.throwIfAborted();
  }

  alive(): void {
    this.#timer.refresh();
  }

  close(): void {
    clearTimeout(this.#timer);
    this.#outer.removeEventListener('abort', this.#onAbort);
  }
}

async function ask(
  request: typeof fetch,
  url: string,
  method: 'GET' | 'HEAD',
  watch: StallWatch,
): Promise<Response> {
  let response: Response;
  try {
    // Any content coding would make other bytes of it than boxes get by Range.
    response = await request(url, {
      method,
      headers: { 'accept-encoding': 'identity' },
      signal: watch.signal,
    });
  } catch (error) {
    // Told to stop is no fault of the origin's.
    watch.throwIfStopped();
    throw new HearthError('origin_unreachable', `${url} cannot be reached: ${reasonOf(error)}`, {
      cause: error,
    });
  }
  watch.alive();
  const coding = response.headers.get('content-encoding');
  if (response.status !== 200 || (coding !== null && coding !== 'identity')) {
    await response.body?.cancel();
    throw new HearthError(
      'origin_status',
      response.status === 200
        ? `${url} is sent with content coding ${clip(coding)}; the origin must honour Accept-Encoding: identity`
        : `${url} answered ${response.status}, 200 is needed`,
    );
  }
  return response;
}

function validators(response: Response) {
  return {
    etag: response.headers.get('etag'),
    lastModified: response.headers.get('last-modified'),
    length: response.headers.get('content-length'),
  };
}

function contentLength(response: Response): number | null {
  const text = response.headers.get('content-length');
  return text !== null && /^\d{1,15}$/.test(text) ? Number(text) : null;
}

const HEADERS = {
  contentType: 'content-type',
  cacheControl: 'cache-control',
  lastModified: 'last-modified',
} as const;

/** A header as a box may repeat it, or not at all. */
function headerText(response: Response, name: keyof ContentHeaders): string | null {
  const text = response.headers.get(HEADERS[name]) || null;
  return contentHeadersSchema.shape[name].safeParse(text).success ? text : null;
}

function reasonOf(error: unknown): string {
  const cause = error instanceof Error ? error.cause : undefined;
  return cause instanceof Error
    ? cause.message || String((cause as NodeJS.ErrnoException).code)
    : messageOf(error);
}
