import { createHash } from 'node:crypto';
import type { FileHandle } from 'node:fs/promises';
import type { Transform } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import zlib from 'node:zlib';
import type { ObjectFile } from '#agent/store/object-file.ts';
import type { Coding } from './variant.ts';

const PIECE_BYTES = 32 * 1024;
/** A window of 1 MiB and quality 9: most of what 11 gains for a tenth of its time, and 10 MB while it runs. */
const BROTLI_QUALITY = 9;
const BROTLI_WINDOW_BITS = 20;

function compressor(coding: Coding, sizeBytes: number): Transform {
  if (coding === 'gzip') return zlib.createGzip({ level: 9 });
  const { BROTLI_PARAM_QUALITY, BROTLI_PARAM_LGWIN, BROTLI_PARAM_SIZE_HINT } = zlib.constants;
  return zlib.createBrotliCompress({
    params: {
      [BROTLI_PARAM_QUALITY]: BROTLI_QUALITY,
      [BROTLI_PARAM_LGWIN]: BROTLI_WINDOW_BITS,
      [BROTLI_PARAM_SIZE_HINT]: sizeBytes,
    },
  });
}

export interface EncodeJob {
  coding: Coding;
  source: Pick<ObjectFile, 'read'>;
  sizeBytes: number;
  into: FileHandle;
  /** Most bytes of the source a second: a board has other things to do. */
  bytesPerSecond: number;
  signal: AbortSignal;
}

/**
 * Encodes a file into another, a piece at a time.
 * @returns the hash of what was read, to be compared with what should have been, and hash and size of what was made
 * @throws Error when the source ends early, AbortError when told to stop
 */
export async function encode(
  job: EncodeJob,
): Promise<{ sourceSha256: string; sha256: string; sizeBytes: number }> {
  const sourceHash = createHash('sha256');
  const hash = createHash('sha256');
  let sizeBytes = 0;
  async function* pieces() {
    const beganAtMs = performance.now();
    for (let at = 0; at < job.sizeBytes; ) {
      const dueMs = beganAtMs + (at / job.bytesPerSecond) * 1000 - performance.now();
      if (dueMs > 1) await sleep(dueMs, undefined, { signal: job.signal });
      // The compressor keeps what it is given for a while: a buffer for each.
      const piece = Buffer.allocUnsafe(Math.min(PIECE_BYTES, job.sizeBytes - at));
      const { bytesRead } = await job.source.read(piece, 0, piece.length, at);
      if (bytesRead === 0) throw new Error('the file is shorter than it should be');
      const read = piece.subarray(0, bytesRead);
      sourceHash.update(read);
      at += bytesRead;
      yield read;
    }
  }
  await pipeline(
    pieces,
    compressor(job.coding, job.sizeBytes),
    async (encoded: AsyncIterable<Buffer>) => {
      for await (const piece of encoded) {
        hash.update(piece);
        await job.into.appendFile(piece);
        sizeBytes += piece.length;
      }
    },
    { signal: job.signal },
  );
  return { sourceSha256: sourceHash.digest('hex'), sha256: hash.digest('hex'), sizeBytes };
}
