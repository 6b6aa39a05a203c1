import { chunkSpan } from '#protocol/asset.ts';
import { HearthError } from '#protocol/errors.ts';
import { hashSlice, PIECE_BYTES } from './chunk-reader.ts';
import type { Store } from './store.ts';

/**
 * Answers a spot check: SHA-256 of nonce || chunk, read from the disk for this answer and from nowhere else.
 * @param nonce hex, 32 characters
 * @returns hex
 * @throws HearthError `not_held` when the chunk is not held, `disk_failing` when it cannot be read
 */
export async function proveChunk(
  store: Store,
  sha256: string,
  chunkIndex: number,
  nonce: string,
): Promise<string> {
  const object = store.catalog.objects.get(sha256);
  if (object?.state !== 'complete' || !store.disk.readable) {
    throw new HearthError('not_held', 'this object is not held here');
  }
  if (chunkIndex >= object.chunks) {
    throw new HearthError(
      'not_held',
      `the object has ${object.chunks} chunks, there is no chunk ${chunkIndex}`,
    );
  }
  const { start, length } = chunkSpan(object, chunkIndex);
  try {
    const handle = await store.openComplete(sha256);
    try {
      const piece = Buffer.allocUnsafe(Math.min(PIECE_BYTES, length));
      const digest = await hashSlice(handle, start, length, piece, Buffer.from(nonce, 'hex'));
      if (!digest) throw new HearthError('not_held', 'the object is shorter than it should be');
      return digest.toString('hex');
    } finally {
      await handle.close();
    }
  } catch (error) {
    throw store.disk.failed(error);
  }
}
