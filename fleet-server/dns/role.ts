import { isIPv4, isIPv6 } from 'node:net';
import { sql } from 'drizzle-orm';
import type { Logger } from 'pino';
import type { Database } from '#fleet/database/database.ts';
import type { Options } from '#fleet/options.ts';
import { RELAY_SILENT_MS } from '#fleet/relay/standing.ts';
import { DnsServer } from './server.ts';
import type { BoxRecords, FindBox, ZoneOptions } from './zone.ts';
import { answer } from './zone.ts';

/** How long what is known of a label is used again, ms: a resolver's burst asks the database once. */
const KNOWN_MS = 1_000;
const MOST_KNOWN = 20_000;

/** Starts the zone's server, if there is a domain for boxes. */
export async function startDns(db: Database, options: Options, log: Logger): Promise<DnsServer | null> {
  const { HEARTH_BOX_DOMAIN: domain } = options;
  if (!domain) return null;
  const zone: ZoneOptions = {
    domain,
    nameServers:
      options.HEARTH_DNS_SERVERS.length > 0
        ? options.HEARTH_DNS_SERVERS
        : [{ name: `ns.${domain}`, ...split([options.HEARTH_BIND]) }],
    contact: `hostmaster.${domain}`,
    issuer: options.HEARTH_ACME_ISSUER,
    ttlS: 30,
  };
  const find = boxRecords(db);
  const serial = () => Math.floor(Date.now() / 1000);
  return DnsServer.start(
    { answer: (question) => answer(zone, question, serial(), find), log },
    options.HEARTH_BIND,
    options.HEARTH_DNS_PORT,
  );
}

/**
 * What the zone holds of a relay's own name, or of a box: its own address where the fleet has met it there over TLS, else the relays that have,
 * else any that hold it, else where it serves without.
 */
export function boxRecords(db: Database): FindBox {
  const known = new Map<string, { records: Promise<BoxRecords | null>; atMs: number }>();
  return (label, fresh) => {
    if (!/^[a-z0-9-]{1,63}$/.test(label)) return Promise.resolve(null);
    const found = known.get(label);
    if (!fresh && found && Date.now() - found.atMs < KNOWN_MS) return found.records;
    const records = lookUp(db, label);
    known.delete(label);
    known.set(label, { records, atMs: Date.now() });
    records.catch(() => known.delete(label));
    if (known.size > MOST_KNOWN) known.delete(known.keys().next().value as string);
    return records;
  };
}

async function lookUp(db: Database, label: string): Promise<BoxRecords | null> {
  const { rows } = await db.execute<{
    secure: string | null;
    direct: string | null;
    secure_relays: string[] | null;
    relays: string[] | null;
    challenges: string[] | null;
  }>(sql`
    WITH ways AS (
      SELECT box_id, secure, address FROM relay_tunnels JOIN relays ON relays.id = relay_id, unnest(addresses) AS address
      WHERE NOT draining AND seen_at > now() - ${RELAY_SILENT_MS} * interval '1 millisecond'
    )
    SELECT
      CASE WHEN online AND secure_ok AND secure_url = heartbeat ->> 'secureUrl' THEN secure_url END AS secure,
      CASE WHEN online AND dial_ok AND dialled_url = heartbeat ->> 'contentUrl' THEN dialled_url END AS direct,
      (SELECT array_agg(DISTINCT address) FROM ways WHERE box_id = boxes.id AND ways.secure) AS secure_relays,
      (SELECT array_agg(DISTINCT address) FROM ways WHERE box_id = boxes.id) AS relays,
      (SELECT array_agg(value) FROM acme_challenges WHERE acme_challenges.name_label = boxes.name_label) AS challenges
    FROM boxes WHERE boxes.name_label = ${label} AND revoked_at IS NULL`);
  const row = rows[0];
  if (!row) return relayRecords(db, label);
  const ways = [addressIn(row.secure), row.secure_relays, row.relays, addressIn(row.direct)];
  const addresses = ways.find((way) => way !== null && way.length > 0) ?? [];
  return { ...split(addresses), challenges: row.challenges ?? [] };
}

/** A relay's own name: its addresses while it is there, and its challenges. */
async function relayRecords(db: Database, label: string): Promise<BoxRecords | null> {
  const { rows } = await db.execute<{ addresses: string[] | null; challenges: string[] | null }>(sql`
    SELECT
      (SELECT array_agg(DISTINCT address) FROM relays, unnest(addresses) AS address
        WHERE relays.name_label = ${label} AND seen_at > now() - ${RELAY_SILENT_MS} * interval '1 millisecond') AS addresses,
      (SELECT array_agg(value) FROM acme_challenges WHERE acme_challenges.name_label = ${label}) AS challenges
    FROM relay_certificates WHERE relay_certificates.name_label = ${label}`);
  const row = rows[0];
  return row ? { ...split(row.addresses ?? []), challenges: row.challenges ?? [] } : null;
}

/** The host of a URL, where it is an address. */
function addressIn(url: string | null): string[] {
  const host = url === null ? '' : new URL(url).hostname.replace(/^\[|\]$/g, '');
  return isIPv4(host) || isIPv6(host) ? [host] : [];
}

function split(addresses: readonly string[]): { a: string[]; aaaa: string[] } {
  return { a: addresses.filter((one) => isIPv4(one)), aaaa: addresses.filter((one) => isIPv6(one)) };
}
