import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { sql } from 'drizzle-orm';
import type { Logger } from 'pino';
import type { Database } from '#fleet/database/database.ts';
import type { FleetKeys } from '#fleet/keys/fleet-keys.ts';
import type { Options } from '#fleet/options.ts';
import { handBackOf } from '#protocol/content-url.ts';
import { HearthError } from '#protocol/errors.ts';
import { Relay } from './relay.ts';

/** As `npm run build:webui` leaves it. */
const WEBUI_DIR = fileURLToPath(new URL('../../dist/webui/box', import.meta.url));

/** Server names whose box is remembered, and for how long, ms: an attack with made-up names asks the database seldom. */
const MOST_NAMES = 50_000;
const NAME_TTL_MS = 60_000;

/** Starts the relay as the fleet-server's options say. */
export async function startRelay(
  parts: { db: Database; keys: FleetKeys; routerUrl: () => string; log: Logger },
  options: Options,
): Promise<Relay> {
  const { db, keys, routerUrl, log } = parts;
  const host = options.HEARTH_BIND;
  const { HEARTH_RELAY_TUNNEL_URL: tunnelUrl, HEARTH_RELAY_CERT: cert, HEARTH_RELAY_KEY: key } = options;
  if ((cert === undefined) !== (key === undefined)) {
    throw new HearthError(
      'bad_request',
      'HEARTH_RELAY_CERT and HEARTH_RELAY_KEY go together: set both or none.',
    );
  }
  const ownName = ownNameOf(options);
  if (ownName && cert !== undefined) {
    throw new HearthError(
      'bad_request',
      'HEARTH_RELAY_NAME and HEARTH_RELAY_CERT exclude each other: the certificate comes from the fleet, or from files.',
    );
  }
  const ownTls = cert !== undefined && key !== undefined ? { cert, key } : undefined;
  const named = tunnelUrl ? new URL(tunnelUrl).hostname.replace(/^\[|\]$/g, '') : host;
  return Relay.start({
    db,
    keys,
    log,
    elsewhere: (boxId, target) => handBackOf(routerUrl(), target, boxId),
    boxOf: boxNames(db, options.HEARTH_BOX_DOMAIN),
    options: {
      host,
      tunnelPort: options.HEARTH_RELAY_TUNNEL_PORT,
      httpPort: options.HEARTH_RELAY_PORT,
      tlsPort: options.HEARTH_BOX_DOMAIN || ownTls ? options.HEARTH_RELAY_TLS_PORT : null,
      ownTls,
      ...(ownName && { ownName }),
      webuiDir: WEBUI_DIR,
      tunnelUrl,
      publicUrl: options.HEARTH_RELAY_URL,
      addresses: options.HEARTH_RELAY_ADDRESSES,
      names: [...new Set([named, host, 'localhost', '127.0.0.1'])],
      drainMs: options.HEARTH_RELAY_DRAIN_MS,
      boxDomain: options.HEARTH_BOX_DOMAIN,
      rates: {
        total: options.HEARTH_RELAY_BYTES_PER_SECOND,
        perBox: options.HEARTH_RELAY_BOX_BYTES_PER_SECOND,
      },
    },
  });
}

/** @throws HearthError `bad_request` for a name the fleet's zone cannot hold */
export function ownNameOf(
  options: Pick<
    Options,
    'HEARTH_RELAY_NAME' | 'HEARTH_BOX_DOMAIN' | 'HEARTH_DNS_SERVERS' | 'HEARTH_KEYS_DIR'
  >,
): { name: string; label: string; folder: string } | null {
  const { HEARTH_RELAY_NAME: name, HEARTH_BOX_DOMAIN: domain, HEARTH_DNS_SERVERS: servers } = options;
  if (name === undefined) return null;
  const label = domain !== undefined && name.endsWith(`.${domain}`) ? name.slice(0, -domain.length - 1) : '';
  // With a hyphen or a short one: no box's label is like that.
  const isFree =
    /^[a-z]([a-z0-9-]{0,61}[a-z0-9])?$/.test(label) && (label.includes('-') || label.length <= 8);
  if (!isFree || label === 'ns' || servers.some((server) => server.name === name)) {
    throw new HearthError(
      'bad_request',
      `HEARTH_RELAY_NAME must be one label below HEARTH_BOX_DOMAIN (${domain ?? 'which is not set'}), at most eight letters and digits or with a hyphen, and no DNS server's, such as relay1.${domain ?? 'boxes.example.org'}; not ${name}`,
    );
  }
  return { name, label, folder: path.join(options.HEARTH_KEYS_DIR, 'relay') };
}

/** Finds boxes by their names, `<label>.<domain>`; remembers names that are nobody's too. */
export function boxNames(db: Database, domain: string | undefined): (name: string) => Promise<string | null> {
  const known = new Map<string, { boxId: Promise<string | null>; atMs: number }>();
  const find = async (label: string): Promise<string | null> => {
    const { rows } = await db.execute<{ id: string }>(
      sql`SELECT id FROM boxes WHERE name_label = ${label} AND revoked_at IS NULL`,
    );
    return rows[0]?.id ?? null;
  };
  return (name) => {
    if (!domain || !name.endsWith(`.${domain}`)) return Promise.resolve(null);
    const label = name.slice(0, -domain.length - 1);
    if (!/^[a-z0-9]{1,63}$/.test(label)) return Promise.resolve(null);
    const found = known.get(label);
    if (found && Date.now() - found.atMs < NAME_TTL_MS) return found.boxId;
    const boxId = find(label);
    known.delete(label);
    known.set(label, { boxId, atMs: Date.now() });
    // A failure is not remembered.
    boxId.catch(() => known.delete(label));
    if (known.size > MOST_NAMES) known.delete(known.keys().next().value as string);
    return boxId;
  };
}
