import { and, inArray, lt, sql } from 'drizzle-orm';
import type { Transaction } from '#fleet/database/database.ts';
import { wantedCopies } from '#fleet/database/schema.ts';

export interface Copies {
  copies: number;
  expiresAt: Date | null;
  pinned: boolean;
}

const among = (assetIds: string[]) => sql`asset_id = ANY(${sql.param(assetIds)}::text[])`;

/** From now on so many boxes are to hold each of these, whichever they are: the newest word counts. */
export async function wantCopies(tx: Transaction, assetIds: string[], wanted: Copies): Promise<void> {
  if (assetIds.length === 0) return;
  await tx
    .insert(wantedCopies)
    .values(assetIds.map((assetId) => ({ assetId, ...wanted })))
    .onConflictDoUpdate({ target: wantedCopies.assetId, set: { ...wanted, lookAt: null } });
}

/** There may be fewer copies of these than are wanted: it is looked at soon. */
export async function lookAtCopies(tx: Transaction, assetIds: string[]): Promise<void> {
  await tx.update(wantedCopies).set({ lookAt: new Date() }).where(among(assetIds));
}

/** Somebody took copies away who did not mean them to be made elsewhere: what is left is what is wanted. */
export async function lowerCopies(tx: Transaction, assetIds: string[]): Promise<void> {
  const left = sql`(SELECT count(*) FROM placements p WHERE p.asset_id = wanted_copies.asset_id AND p.desired = 'held')`;
  await tx.execute(sql`DELETE FROM wanted_copies WHERE ${among(assetIds)} AND ${left} = 0`);
  await tx.execute(
    sql`UPDATE wanted_copies SET copies = ${left} WHERE ${among(assetIds)} AND ${left} < copies`,
  );
}

/** Nobody wants copies of these any more. @param expiredBefore only of those whose time was over then */
export async function forgetCopies(tx: Transaction, assetIds: string[], expiredBefore?: Date): Promise<void> {
  if (assetIds.length === 0) return;
  await tx
    .delete(wantedCopies)
    .where(
      and(
        inArray(wantedCopies.assetId, assetIds),
        expiredBefore ? lt(wantedCopies.expiresAt, expiredBefore) : undefined,
      ),
    );
}
