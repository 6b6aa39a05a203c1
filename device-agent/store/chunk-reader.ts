import { createHash } from 'node:crypto';
import type { ObjectFile } from './object-file.ts';

/** Bytes read from the disk at once. */
export const PIECE_BYTES = 1024 * 1024;

/**
 * The SHA-256 of a slice of a file, read from it now.
 * @param piece scratch space; its length is what is read at once
 * @param prefix hashed before the slice: a spot check's nonce
 * @returns 32 bytes, or null when the file ends before the slice does
 */
export async function hashSlice(
  handle: Pick<ObjectFile, 'read'>,
  start: number,
  length: number,
  piece: Buffer,
  prefix: Buffer | null = null,
): Promise<Buffer | null> {
  const hash = createHash('sha256');
  if (prefix) hash.update(prefix);
  for (let done = 0; done < length; ) {
    const { bytesRead } = await handle.read(piece, 0, Math.min(piece.length, length - done), start + done);
    if (bytesRead === 0) return null;
    hash.update(piece.subarray(0, bytesRead));
    done += bytesRead;
  }
  return hash.digest();
}
