import { sql } from 'drizzle-orm';
import type { Queryable } from '#fleet/database/database.ts';
import { LIMITS } from '#protocol/limits.ts';
import type { CertificateProblem } from '#protocol/reach.ts';

/** A relay that has not said so for this long is not there, ms. */
export const RELAY_SILENT_MS = 4_000;

/** One way to a box through a relay. */
export interface Relayed {
  /** The relay's public URL. */
  url: string;
  /** The relay has met the box over TLS there, as clients of its name would. */
  secure: boolean;
}

/** Where each box can be reached through a relay, by box id. @param boxIds those asked about; default: all */
export async function relayedBoxes(
  db: Queryable,
  boxIds?: readonly string[],
): Promise<Map<string, Relayed[]>> {
  const these = boxIds ? sql`AND box_id = ANY(${sql.param([...boxIds])}::text[])` : sql``;
  const { rows } = await db.execute<{ box_id: string; public_url: string; secure: boolean }>(sql`
    SELECT box_id, public_url, secure AND EXISTS (
      SELECT FROM box_certificates WHERE box_certificates.box_id = relay_tunnels.box_id AND expires_at > now()
    ) AS secure FROM relay_tunnels JOIN relays ON relays.id = relay_id
    WHERE NOT draining AND seen_at > now() - ${RELAY_SILENT_MS} * interval '1 millisecond' ${these}
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

/** Relays that carry dashboards now, by their own addresses. */
export async function dashboardRelays(db: Queryable): Promise<string[]> {
  const { rows } = await db.execute<{ dashboard_url: string }>(sql`
    SELECT DISTINCT dashboard_url FROM relays
    WHERE dashboard_url IS NOT NULL AND NOT draining
      AND seen_at > now() - ${RELAY_SILENT_MS} * interval '1 millisecond'
    ORDER BY dashboard_url LIMIT ${LIMITS.relays}`);
  return rows.map((row) => row.dashboard_url);
}

/**
 * A relay that carries dashboards and holds this box; null: none does.
 * @param except the relay that asks: what is written of its own boxes may be a moment old
 */
export async function dashboardRelayOf(db: Queryable, boxId: string, except: string): Promise<string | null> {
  const { rows } = await db.execute<{ dashboard_url: string }>(sql`
    SELECT dashboard_url FROM relay_tunnels JOIN relays ON relays.id = relay_id
    WHERE box_id = ${boxId} AND dashboard_url <> ${except} AND NOT draining
      AND seen_at > now() - ${RELAY_SILENT_MS} * interval '1 millisecond'
    ORDER BY since LIMIT 1`);
  return rows[0]?.dashboard_url ?? null;
}

/** How a box is to be reached: by relays if the fleet could not dial it, and under which name. */
export interface Reach {
  relayUrls: string[];
  /** `<label>.<domain>`; null where the fleet has no domain for boxes. */
  serverName: string | null;
  /** Where clients find boxes' TLS at relays. */
  securePort: number | null;
  /** Relays that carry its dashboard; none while its household has that switched off. */
  dashboardUrls: string[];
  /** The CA gives no certificate for it. */
  certificateProblem: CertificateProblem | null;
}

/** A CA that fails once is no news to a household; for so long it is, ms. */
const TROUBLE_MS = 3_600_000;

/** What each of these boxes is to be told of how it is reached. */
export async function reachOf(
  db: Queryable,
  boxIds: readonly string[],
  domain: string | null,
  securePort: number,
): Promise<Map<string, Reach>> {
  const { rows } = await db.execute<{
    id: string;
    name_label: string;
    dial_ok: boolean | null;
    away: boolean;
    since: Date | string | null;
    code: string | null;
  }>(
    sql`SELECT id, name_label, dial_ok, coalesce(heartbeat -> 'away' ? 'keySha256', false) AS away,
        failing_since AS since, problem_code AS code
      FROM boxes LEFT JOIN box_certificates ON box_id = id
        AND failing_since < now() - ${TROUBLE_MS} * interval '1 millisecond'
      WHERE id = ANY(${sql.param([...boxIds])}::text[])`,
  );
  const needsRelay = (row: { dial_ok: boolean | null; away: boolean }) => row.dial_ok === false || row.away;
  const urls = rows.some(needsRelay) ? await liveRelays(db) : [];
  const dashboards = rows.some((row) => row.away) ? await dashboardRelays(db) : [];
  return new Map(
    rows.map((row) => [
      row.id,
      {
        relayUrls: needsRelay(row) ? urls : [],
        dashboardUrls: row.away ? dashboards : [],
        serverName: domain === null ? null : `${row.name_label}.${domain}`,
        securePort: domain === null || securePort === 0 ? null : securePort,
        certificateProblem:
          row.since === null
            ? null
            : { since: new Date(row.since).toISOString(), code: row.code ?? 'ca_refused' },
      },
    ]),
  );
}
