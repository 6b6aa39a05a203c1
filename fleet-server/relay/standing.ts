import { sql } from 'drizzle-orm';
import type { Queryable } from '#fleet/database/database.ts';
import { LIMITS } from '#protocol/limits.ts';

/** A relay that has not said so for this long is not there, ms. */
export const RELAY_SILENT_MS = 4_000;

/** One way to a box through a relay. */
export interface Relayed {
  /** The relay's public URL. */
  url: string;
  /** The relay has met the box over TLS there, as clients of its name would. */
  secure: boolean;
}

/** Where each box can be reached through a relay, by box id. */
export async function relayedBoxes(db: Queryable): Promise<Map<string, Relayed[]>> {
  const { rows } = await db.execute<{ box_id: string; public_url: string; secure: boolean }>(sql`
    SELECT box_id, public_url, secure AND EXISTS (
      SELECT FROM box_certificates WHERE box_certificates.box_id = relay_tunnels.box_id AND expires_at > now()
    ) AS secure FROM relay_tunnels JOIN relays ON relays.id = relay_id
    WHERE NOT draining AND seen_at > now() - ${RELAY_SILENT_MS} * interval '1 millisecond'
    ORDER BY box_id, since`);
  const found = new Map<string, Relayed[]>();
  for (const { box_id: boxId, public_url: url, secure } of rows) {
    const ways = found.get(boxId);
    if (ways) ways.push({ url, secure });
    else found.set(boxId, [{ url, secure }]);
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
  /** Where clients find boxes' TLS at relays. */
  securePort: number | null;
}

/** What each of these boxes is to be told of how it is reached. */
export async function reachOf(
  db: Queryable,
  boxIds: readonly string[],
  domain: string | null,
  securePort: number,
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
        securePort: domain === null || securePort === 0 ? null : securePort,
      },
    ]),
  );
}
