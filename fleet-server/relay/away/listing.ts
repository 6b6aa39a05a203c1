import { sql } from 'drizzle-orm';
import type { Database, Queryable } from '#fleet/database/database.ts';
import { notify } from '#fleet/database/listen.ts';
import { networkOf } from '#protocol/addresses.ts';
import type { AwaySession } from '#protocol/away.ts';
import { LIMITS } from '#protocol/limits.ts';
import { IDLE_MS, LIVE, LONGEST_MS } from './sessions.ts';

/** As an operator sees one. */
export interface ListedSession extends AwaySession {
  seenAt: string;
  /** When it ends without further use. */
  idleEndsAt: string;
}

/** Who is in at these boxes' dashboards from away, newest first; boxes nobody is in at are left out. */
export async function openSessions(
  db: Queryable,
  boxIds: readonly string[],
): Promise<Map<string, ListedSession[]>> {
  const found = new Map<string, ListedSession[]>();
  if (boxIds.length === 0) return found;
  const { rows } = await db.execute<{
    id: string;
    box_id: string;
    client: string;
    since: Date | string;
    seen: Date | string;
  }>(sql`
    SELECT away_sessions.id, box_id, client, away_sessions.created_at AS since, away_sessions.seen_at AS seen
    FROM away_sessions JOIN boxes ON boxes.id = box_id
    WHERE box_id = ANY(${sql.param([...boxIds])}::text[]) AND ${LIVE}
    ORDER BY away_sessions.created_at DESC, away_sessions.id`);
  for (const { id, box_id: boxId, client, since, seen } of rows) {
    const of = found.get(boxId) ?? [];
    found.set(boxId, of);
    if (of.length >= LIMITS.awaySessions) continue;
    const [sinceMs, seenMs] = [new Date(since).getTime(), new Date(seen).getTime()];
    of.push({
      id,
      since: new Date(sinceMs).toISOString(),
      endsAt: new Date(sinceMs + LONGEST_MS).toISOString(),
      from: roughly(client),
      seenAt: new Date(seenMs).toISOString(),
      idleEndsAt: new Date(Math.min(sinceMs + LONGEST_MS, seenMs + IDLE_MS)).toISOString(),
    });
  }
  return found;
}

/**
 * Ends sessions at a box's dashboard; relays hear of it within seconds. What is over, or another box's, is left alone.
 * @param ids null: all of them
 * @returns how many were ended
 */
export async function endSessions(
  db: Database,
  boxId: string,
  ids: readonly string[] | null,
): Promise<number> {
  const these = ids === null ? sql`` : sql`AND id = ANY(${sql.param([...ids])}::uuid[])`;
  const { rowCount } = await db.execute(
    sql`UPDATE away_sessions SET ended_at = now() WHERE box_id = ${boxId} AND ended_at IS NULL ${these}`,
  );
  await notify(db, 'boxes', boxId);
  return rowCount ?? 0;
}

/** Where an address lies, without what tells one household from the next: /24, or /48 of IPv6; empty: it is none. */
export function roughly(address: string): string {
  const network = networkOf(address);
  if (network === null) return '';
  if (!network.includes(':')) return network.replace(/\.\d+$/, '.0/24');
  return `${network.split(':').slice(0, 3).join(':')}::/48`;
}
