import { createHash } from 'node:crypto';
import type { PartialObject } from '#agent/store/object-files.ts';
import type { ObjectManifest } from '#agent/store/store.ts';
import { chunkSpan } from '#protocol/asset.ts';
import { OriginError } from './origin-error.ts';

/** Bytes gathered before they are written, and so the memory a download connection takes. */
export const SCRATCH_BYTES = 1024 * 1024;

/**
 * Cuts a body into the chunks it covers, verifies each by its SHA-256 and writes those that are missing. A chunk
 * that fits the scratch buffer is verified before it is written; a larger one is written as it comes, and does
 * not count until it is verified.
 * @param span where the body begins and should end in the asset; it begins at a chunk's first byte
 * @param missing indexes not yet had; good ones are taken out
 * @param filling indexes of chunks larger than the scratch buffer that some body is writing: one at a time, or bytes
 * that are wrong could follow those verified
 * @param onGood called when a chunk is verified, written and recorded
 * @throws OriginError `origin_truncated`, `origin_changed` (too long), `chunk_mismatch`
 */
export async function receive(
  body: AsyncIterable<Buffer>,
  span: { start: number; end: number },
  target: {
    manifest: ObjectManifest;
    partial: PartialObject;
    missing: Set<number>;
    filling: Set<number>;
    scratch: Buffer;
  },
  onGood: (index: number) => void,
): Promise<void> {
  const { manifest, partial, missing, filling, scratch } = target;
  let at = span.start;
  let index = Math.floor(span.start / manifest.chunkSizeBytes);
  let hash = createHash('sha256');
  let gathered = 0;
  let flushed = 0;
  let bad = 0;
  /** Whether the chunk at hand is ours to write: settled at its first byte. */
  let wanted = false;
  const verifiedFirst = manifest.chunkSizeBytes <= scratch.length;

  const finishChunk = async () => {
    const { start } = chunkSpan(manifest, index);
    if (wanted) {
      if (hash.digest().equals(manifest.hashes.subarray(index * 32, index * 32 + 32))) {
        // Another source may have been faster.
        if (missing.has(index)) {
          await partial.write(scratch.subarray(0, gathered), start + flushed);
          await partial.keep(index);
          if (missing.delete(index)) onGood(index);
        }
      } else {
        bad++;
      }
      if (!verifiedFirst) filling.delete(index);
      wanted = false;
    }
    hash = createHash('sha256');
    gathered = 0;
    flushed = 0;
    index++;
  };

  const takePiece = async (whole: Buffer) => {
    let piece = whole;
    while (piece.length > 0) {
      const { start, length } = chunkSpan(manifest, index);
      const chunkEnd = start + length;
      if (at === start && missing.has(index) && (verifiedFirst || !filling.has(index))) {
        wanted = true;
        if (!verifiedFirst) filling.add(index);
      }
      const room = wanted ? scratch.length - gathered : Number.POSITIVE_INFINITY;
      const take = Math.min(piece.length, chunkEnd - at, room);
      if (wanted) {
        piece.copy(scratch, gathered, 0, take);
        hash.update(piece.subarray(0, take));
        gathered += take;
      }
      at += take;
      piece = piece.subarray(take);
      if (at === chunkEnd) {
        await finishChunk();
      } else if (gathered === scratch.length) {
        await partial.write(scratch, start + flushed);
        flushed += gathered;
        gathered = 0;
      }
    }
  };

  try {
    for await (const piece of body) {
      if (at + piece.length > span.end) {
        throw new OriginError('origin_changed', 'the origin sends more bytes than were ingested', {
          lasting: true,
        });
      }
      await takePiece(piece);
    }
  } finally {
    if (wanted && !verifiedFirst) filling.delete(index);
  }
  if (at < span.end) {
    throw new OriginError('origin_truncated', `the origin ended after ${at} of ${span.end} bytes`);
  }
  if (bad > 0) {
    throw new OriginError(
      'chunk_mismatch',
      `${bad} chunk${bad > 1 ? 's' : ''} did not match the hash from ingest`,
    );
  }
}
