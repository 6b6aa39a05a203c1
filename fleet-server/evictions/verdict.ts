import { and, asc, eq, sql } from 'drizzle-orm';
import { changeWanted, endPlacements } from '#fleet/assignments/assignments.ts';
import { lookAtCopies } from '#fleet/assignments/copies.ts';
import type { Database, Transaction } from '#fleet/database/database.ts';
import { evictions, placements } from '#fleet/database/schema.ts';
import type { Evictions, EvictionsVerdict } from '#protocol/evictions.ts';

const ONLY = 'no other box that is online holds it';
const PINNED = 'it is pinned to this box';

/**
 * Judges what a box would put out, in one transaction: what no other online box holds, or is pinned, stays. The rest is not wanted
 * on this box any more, so that it is not sent back there. Proposals are judged one after another, so that two boxes
 * cannot put out the last two copies at once; one that comes again gets the same answer. What has fewer copies then
 * than are wanted is soon given to another box.
 */
export async function judgeEvictions(
  db: Database,
  boxId: string,
  message: Evictions,
): Promise<EvictionsVerdict> {
  const assetIds = [...new Set(message.assets.map((asset) => asset.assetId))].toSorted();
  const vetoed = await changeWanted(db, async (tx) => {
    const wanted = await tx
      .select({ assetId: placements.assetId, pinned: placements.pinned })
      .from(placements)
      .where(
        and(
          eq(placements.boxId, boxId),
          eq(placements.desired, 'held'),
          sql`${placements.assetId} = ANY(${sql.param(assetIds)}::text[])`,
        ),
      )
      .orderBy(asc(placements.assetId))
      .for('no key update');
    const own = wanted.map((row) => row.assetId);
    // What is done cannot be undone: it is only taken note of.
    const only = message.done ? [] : await onlyHere(tx, boxId, own);
    const pinned = message.done ? [] : wanted.flatMap((row) => (row.pinned ? row.assetId : []));
    const kept = new Map([
      ...only.map((id) => [id, ONLY] as const),
      ...pinned.map((id) => [id, PINNED] as const),
    ]);
    const gone = own.filter((assetId) => !kept.has(assetId));
    await endPlacements(tx, gone, [boxId]);
    await remember(tx, boxId, gone);
    await lookAtCopies(tx, gone);
    return kept;
  });
  return {
    v: 1,
    proposalId: message.proposalId,
    vetoed: Array.from(vetoed, ([assetId, why]) => ({ assetId, why })),
  };
}

/** So that it is not given back to the box that had no room for it. */
async function remember(tx: Transaction, boxId: string, assetIds: string[]): Promise<void> {
  if (assetIds.length === 0) return;
  await tx
    .insert(evictions)
    .values(assetIds.map((assetId) => ({ assetId, boxId })))
    .onConflictDoUpdate({ target: [evictions.assetId, evictions.boxId], set: { evictedAt: new Date() } });
}

/** Those of which no other online box holds the current bytes, and is to go on doing so. */
async function onlyHere(tx: Transaction, boxId: string, assetIds: string[]): Promise<string[]> {
  const elsewhere = await tx.execute<{ asset_id: string }>(sql`
    SELECT DISTINCT p.asset_id FROM placements p
      JOIN boxes b ON b.id = p.box_id JOIN assets a ON a.id = p.asset_id
    WHERE p.asset_id = ANY(${sql.param(assetIds)}::text[]) AND p.box_id <> ${boxId}
      AND p.desired = 'held' AND p.reported = 'held' AND p.reported_sha256 = a.sha256
      AND b.online AND b.revoked_at IS NULL`);
  const safe = new Set(elsewhere.rows.map((row) => row.asset_id));
  return assetIds.filter((assetId) => !safe.has(assetId));
}
