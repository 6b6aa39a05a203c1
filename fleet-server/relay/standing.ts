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

/** How a box is to be reached: by relays if the fleet could not dial it, and under which name. */
export interface Reach {
  relayUrls: string[];
  /** `<label>.<domain>`; null where the fleet has no domain for boxes. */
  serverName: string | null;
}

/** What each of these boxes is to be told of how it is reached. */
export async function reachOf(
  db: Queryable,
  boxIds: readonly string[],
  domain: string | null,
): Promise<Map<string, Reach>> {
  const { rows } = await db.execute<{ id: string; name_label: string; dial_ok: boolean | null }>(
    sql`SELECT id, name_label, dial_ok FROM boxes WHERE id = ANY(${sql.param([...boxIds])}::text[])`,
  );
  const urls = rows.some((row) => row.dial_ok === false) ? await liveRelays(db) : [];
  return new Map(
    rows.map((row) => [
      row.id,
      {
        relayUrls: row.dial_ok === false ? urls : [],
        serverName: domain === null ? null : `${row.name_label}.${domain}`,
      },
    ]),
  );
}
