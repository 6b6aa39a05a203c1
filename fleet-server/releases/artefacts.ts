import { createHash } from 'node:crypto';
import { and, eq } from 'drizzle-orm';
import type { Database, Queryable } from '#fleet/database/database.ts';
import { HearthError } from '#protocol/errors.ts';
import { ARTEFACT_BYTES } from '#protocol/release.ts';
import { releaseArtefacts, releasePieces } from './tables.ts';

const PIECE_BYTES = 1024 * 1024;

/**
 * Stores an executable as it comes, whole or not at all. One that is there already is read to its end and left.
 * @throws HearthError `artefact_mismatch`, `payload_too_large`
 */
export async function storeArtefact(
  db: Database,
  sha256: string,
  body: AsyncIterable<Buffer>,
): Promise<number> {
  const hash = createHash('sha256');
  let sizeBytes = 0;
  await db.transaction(async (tx) => {
    const put = async (piece: number, content: Buffer) => {
      await tx.insert(releasePieces).values({ sha256, piece, content });
    };
    const made = await tx
      .insert(releaseArtefacts)
      .values({ sha256, sizeBytes: 1 })
      .onConflictDoNothing()
      .returning({ sha256: releaseArtefacts.sha256 });
    let rest: Buffer = Buffer.alloc(0);
    let pieces = 0;
    for await (const bytes of body) {
      hash.update(bytes);
      sizeBytes += bytes.length;
      if (sizeBytes > ARTEFACT_BYTES) {
        throw new HearthError('payload_too_large', `an artefact has at most ${ARTEFACT_BYTES} bytes`);
      }
      if (made.length === 0) continue;
      rest = rest.length === 0 ? bytes : Buffer.concat([rest, bytes]);
      while (rest.length >= PIECE_BYTES) {
        await put(pieces++, rest.subarray(0, PIECE_BYTES));
        rest = rest.subarray(PIECE_BYTES);
      }
    }
    if (sizeBytes === 0 || hash.digest('hex') !== sha256) {
      throw new HearthError(
        'artefact_mismatch',
        `what was uploaded (${sizeBytes} bytes) does not have this SHA-256`,
      );
    }
    if (made.length === 0) return;
    if (rest.length > 0) await put(pieces, rest);
    await tx.update(releaseArtefacts).set({ sizeBytes }).where(eq(releaseArtefacts.sha256, sha256));
  });
  return sizeBytes;
}

/** Bytes of an artefact; null: there is none of that hash. */
export async function artefactSize(db: Queryable, sha256: string): Promise<number | null> {
  const [row] = await db.select().from(releaseArtefacts).where(eq(releaseArtefacts.sha256, sha256));
  return row?.sizeBytes ?? null;
}

/** An artefact's bytes from `start` up to and without `end`, a piece at a time. */
export async function* readArtefact(
  db: Queryable,
  sha256: string,
  start: number,
  end: number,
): AsyncGenerator<Buffer> {
  const last = Math.floor((end - 1) / PIECE_BYTES);
  for (let piece = Math.floor(start / PIECE_BYTES); piece <= last; piece++) {
    const [row] = await db
      .select()
      .from(releasePieces)
      .where(and(eq(releasePieces.sha256, sha256), eq(releasePieces.piece, piece)));
    if (!row) throw new HearthError('internal', `piece ${piece} of ${sha256} is not there`);
    const from = piece * PIECE_BYTES;
    yield row.content.subarray(Math.max(0, start - from), Math.min(row.content.length, end - from));
  }
}
