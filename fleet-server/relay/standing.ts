import { sql } from 'drizzle-orm';
import type { Queryable } from '#fleet/database/database.ts';
import { LIMITS } from '#protocol/limits.ts';

/** A relay that has not said so for this long is not there, ms. */
export const RELAY_SILENT_MS = 4_000;

/** Where each box can be reached through a relay: the relays' public URLs, by box id. */
export async function relayedBoxes(db: Queryable): Promise<Map<string, string[]>> {
  const { rows } = await db.execute<{ box_id: string; public_url: string }>(sql`
    SELECT box_id, public_url FROM relay_tunnels JOIN relays ON relays.id = relay_id
    WHERE NOT draining AND seen_at > now() - ${RELAY_SILENT_MS} * interval '1 millisecond'
    ORDER BY box_id, since`);
  const found = new Map<string, string[]>();
  for (const { box_id: boxId, public_url: url } of rows) {
    const urls = found.get(boxId);
    if (urls) urls.push(url);
    else found.set(boxId, [url]);
  }
  return found;
}

/** Relays a box may dial now; the box finds the nearest. */
export async function liveRelays(db: Queryable): Promise<string[]> {
  const { rows } = await db.execute<{ tunnel_url: string }>(sql`
    SELECT tunnel_url FROM relays
    WHERE NOT draining AND seen_at > now() - ${RELAY_SILENT_MS} * interval '1 millisecond'
    ORDER BY id LIMIT ${LIMITS.relays}`);
  return rows.map((row) => row.tunnel_url);
}

/** Which of these boxes the fleet has not reached where they say they serve: they need a relay. */
export async function needRelay(db: Queryable, boxIds: readonly string[]): Promise<Set<string>> {
  const { rows } = await db.execute<{ id: string }>(
    sql`SELECT id FROM boxes WHERE id = ANY(${sql.param([...boxIds])}::text[]) AND dial_ok = false`,
  );
  return new Set(rows.map(({ id }) => id));
}
