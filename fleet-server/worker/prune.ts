import { type SQL, sql } from 'drizzle-orm';
import type { Database } from '#fleet/database/database.ts';

/** How long the record of what is over is kept, days. */
export const KEPT_DAYS = { commands: 30, spotChecks: 90, awaySessions: 90 };
/** Rows that go in one statement: nobody waits long for its locks, and a process that dies loses little work. */
const BATCH = 2_000;

export interface Pruned {
  commands: number;
  spotChecks: number;
  awaySessions: number;
}

/**
 * Deletes what has been over for longer than it is kept, in batches; several processes may do so at once.
 * @param signal between two batches it stops here
 */
export async function prune(db: Database, signal: AbortSignal, batch = BATCH): Promise<Pruned> {
  const older = (column: SQL, days: number) => sql`${column} < now() - ${days} * interval '1 day'`;
  return {
    // An open one that expired is for a box that never came back: what is due to it is asked for again.
    commands: await inBatches(
      db,
      sql`commands`,
      older(sql`coalesce(ended_at, expires_at)`, KEPT_DAYS.commands),
      { signal, batch },
    ),
    // No question is put to a box twice, since it may have kept its answer: that it was, is known for as long as there
    // is the question. There are 32 of them for an asset.
    spotChecks: await inBatches(
      db,
      sql`spot_checks`,
      sql`outcome <> 'waiting' AND ${older(sql`asked_at`, KEPT_DAYS.spotChecks)}
        AND NOT EXISTS (SELECT FROM spot_challenges WHERE spot_challenges.id = challenge_id)`,
      { signal, batch },
    ),
    awaySessions: await inBatches(db, sql`away_sessions`, older(sql`created_at`, KEPT_DAYS.awaySessions), {
      signal,
      batch,
    }),
  };
}

async function inBatches(
  db: Database,
  table: SQL,
  where: SQL,
  { signal, batch }: { signal: AbortSignal; batch: number },
): Promise<number> {
  let gone = 0;
  while (!signal.aborted) {
    const { rowCount } = await db.execute(
      sql`DELETE FROM ${table} WHERE ctid = ANY(ARRAY(
        SELECT ctid FROM ${table} WHERE ${where} LIMIT ${batch} FOR UPDATE SKIP LOCKED))`,
    );
    gone += rowCount ?? 0;
    if ((rowCount ?? 0) < batch) break;
  }
  return gone;
}
