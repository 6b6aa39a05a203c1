import { and, eq, isNull, sql } from 'drizzle-orm';
import type { Logger } from 'pino';
import { linksToSiblings } from '#fleet/assets/content-type.ts';
import { silentAfterMs } from '#fleet/boxes/silence.ts';
import type { Database } from '#fleet/database/database.ts';
import { assets, boxes, placements, sites } from '#fleet/database/schema.ts';
import type { Relayed } from '#fleet/relay/standing.ts';
import { relayedBoxes } from '#fleet/relay/standing.ts';
import { messageOf } from '#protocol/errors.ts';
import { relayedContentUrl } from '#protocol/relay.ts';
import type { Candidate } from './choice.ts';
import { RelayWatch } from './relay-watch.ts';

export interface RoutedSite {
  id: string;
  hostname: string;
  origin: string;
}

/** What the router knows of one path of a site. */
export interface Route {
  assetId: string;
  /** What a token for it opens, and how many bytes that is. */
  prefix: string;
  entitledBytes: number;
  /** Boxes that reported it held, with the newest bytes. */
  holders: string[];
}

/** Boxes have names, and certificates for them. */
export interface BoxNames {
  domain: string;
  /** Where clients find boxes' TLS at relays. */
  relayPort: number;
}

/** A route is asked for again after this long even if no notification came. */
const ROUTE_TTL_MS = 5_000;
const MAX_ROUTES = 100_000;
/** A client waits no longer than this for the database; then what was known counts, or the origin. */
const PATIENCE_MS = 1_000;
/** Lookups under way at once. Who asks for what nobody knows must not take the database from everybody else. */
const MAX_LOOKUPS = 64;

interface Known {
  /** Undefined while the database is asked. */
  route: Route | null | undefined;
  asked: Promise<Route | null>;
  /** What was known before. */
  before: Route | null;
  atMs: number;
}
/** Small things are fetched again and again under one link; below this it is not counted exactly. */
const ENTITLED_BYTES_MIN = 64 * 1024;

/**
 * The router's view of the database: all sites and routable boxes, and the routes asked for lately. Notifications
 * keep it fresh; while the database is away it answers from what it has, however old, since a stale redirect that
 * a box hands back is better than none.
 */
export class Catalogue {
  readonly #db: Database;
  readonly #log: Logger;
  readonly #heartbeatMs: number;
  readonly #names: BoxNames | null;
  readonly #routes = new Map<string, Known>();
  #lookups = 0;
  #sites = new Map<string, RoutedSite>();
  #boxes = new Map<string, Candidate>();
  readonly #relays: RelayWatch;
  /** The relays each box is connected to. */
  #relayed = new Map<string, readonly Relayed[]>();
  #refreshing: Promise<void> | null = null;
  #again = false;
  readonly #timer: NodeJS.Timeout;

  constructor(db: Database, heartbeatMs: number, log: Logger, names: BoxNames | null = null) {
    this.#db = db;
    this.#heartbeatMs = heartbeatMs;
    this.#names = names;
    this.#log = log;
    this.#timer = setInterval(() => void this.refresh(), 1000);
    this.#relays = new RelayWatch({ log, onChange: (url, up) => this.#relayChanged(url, up) });
  }

  close(): void {
    clearInterval(this.#timer);
    this.#relays.close();
  }

  siteByHost(hostname: string): RoutedSite | undefined {
    return this.#sites.get(hostname);
  }

  siteById(id: string): RoutedSite | undefined {
    return this.#sites.get(id);
  }

  box(id: string): Candidate | undefined {
    return this.#boxes.get(id);
  }

  /** Reads sites and boxes again; a call while that is under way makes it happen once more. */
  refresh(): Promise<void> {
    if (this.#refreshing) {
      this.#again = true;
      return this.#refreshing;
    }
    this.#refreshing = this.#read().finally(() => {
      this.#refreshing = null;
      if (this.#again) {
        this.#again = false;
        void this.refresh();
      }
    });
    return this.#refreshing;
  }

  /** Forgets the routes of an asset, or all. */
  forget(assetId: string): void {
    for (const [key, entry] of this.#routes) {
      if (assetId === '' || !entry.route || entry.route.assetId === assetId) this.#routes.delete(key);
    }
  }

  /** The route for a path, or null when no ready asset lies there. */
  async route(siteId: string, path: string, nowMs = Date.now()): Promise<Route | null> {
    const key = `${siteId}\0${path}`;
    const known = this.#routes.get(key);
    if (known && nowMs - known.atMs < ROUTE_TTL_MS) {
      return known.route === undefined ? this.#patiently(known) : known.route;
    }
    const before = (known?.route === undefined ? known?.before : known.route) ?? null;
    if (this.#lookups >= MAX_LOOKUPS) return before;
    if (this.#routes.size >= MAX_ROUTES) {
      const oldest = this.#routes.keys().next().value;
      if (oldest !== undefined) this.#routes.delete(oldest);
    }
    this.#lookups++;
    const asked = this.#find(siteId, path)
      .catch((error: unknown) => {
        this.#log.warn({ err: messageOf(error) }, 'the database is away; routing by what is known');
        return before;
      })
      .finally(() => this.#lookups--);
    const entry: Known = { route: undefined, asked, before, atMs: nowMs };
    this.#routes.set(key, entry);
    void asked.then((route) => {
      entry.route = route;
    });
    return this.#patiently(entry);
  }

  async #patiently({ asked, before }: Known): Promise<Route | null> {
    let timer: NodeJS.Timeout | undefined;
    const tired = new Promise<Route | null>((resolve) => {
      timer = setTimeout(resolve, PATIENCE_MS, before);
    });
    return Promise.race([asked, tired]).finally(() => clearTimeout(timer));
  }

  async #read(): Promise<void> {
    try {
      const siteRows = await this.#db.select().from(sites);
      const boxRows = await this.#db
        .select({
          id: boxes.id,
          heartbeat: boxes.heartbeat,
          lastSeenAt: boxes.lastSeenAt,
          // The fleet sends nobody where it has not been itself.
          direct: sql<boolean>`coalesce(${boxes.dialOk} AND ${boxes.dialledUrl} = ${boxes.heartbeat} ->> 'contentUrl', false)`,
          secure: sql<boolean>`coalesce(${boxes.secureOk} AND ${boxes.secureUrl} = ${boxes.heartbeat} ->> 'secureUrl', false)`,
          label: boxes.nameLabel,
        })
        .from(boxes)
        .where(and(eq(boxes.online, true), isNull(boxes.revokedAt)));
      const relayed = await relayedBoxes(this.#db);
      this.#relayed = relayed;
      this.#relays.use([...relayed.values()].flatMap((ways) => ways.map(({ url }) => url)));
      this.#sites = new Map(
        siteRows.flatMap((site) => [[site.hostname, site] as const, [site.id, site] as const]),
      );
      const previous = this.#boxes;
      this.#boxes = new Map();
      for (const { id, heartbeat, lastSeenAt, direct, secure, label } of boxRows) {
        if (!heartbeat || !lastSeenAt || !['ok', 'full', 'slow', 'read_only'].includes(heartbeat.store.state))
          continue;
        if (Date.now() - lastSeenAt.getTime() > silentAfterMs(this.#heartbeatMs)) continue;
        const contentUrl = contentUrlOf(
          { id, label, ...heartbeat },
          { direct, secure },
          (relayed.get(id) ?? []).filter(({ url }) => this.#relays.isUp(url)),
          this.#names,
        );
        if (contentUrl === null) continue;
        this.#boxes.set(id, {
          boxId: id,
          contentUrl,
          connections: heartbeat.serving.connections,
          bytesPerSecond: heartbeat.serving.bytesPerSecond,
          sentLately: (previous.get(id)?.sentLately ?? 0) / 2,
        });
      }
    } catch (error) {
      this.#log.warn({ err: messageOf(error) }, 'the database is away; routing by what is known');
    }
  }

  /** From this moment nobody is sent to a relay that has died; what else follows from it comes with the next reading. */
  #relayChanged(relay: string, up: boolean): void {
    if (!up) {
      for (const [boxId, box] of this.#boxes) {
        if (box.contentUrl !== relayedContentUrl(relay, boxId)) continue;
        const other = this.#relayed.get(boxId)?.find(({ url }) => this.#relays.isUp(url));
        if (other) box.contentUrl = relayedContentUrl(other.url, boxId);
        else this.#boxes.delete(boxId);
      }
    }
    void this.refresh();
  }

  async #find(siteId: string, path: string): Promise<Route | null> {
    const [asset] = await this.#db
      .select()
      .from(assets)
      .where(and(eq(assets.siteId, siteId), eq(assets.path, path), eq(assets.state, 'ready')));
    if (asset?.sizeBytes == null || asset.contentType === null || asset.sha256 === null) return null;
    const holders = await this.#db
      .select({ boxId: placements.boxId })
      .from(placements)
      .where(
        and(
          eq(placements.assetId, asset.id),
          eq(placements.desired, 'held'),
          eq(placements.reported, 'held'),
          eq(placements.reportedSha256, asset.sha256),
        ),
      );
    const whole = linksToSiblings(asset.contentType);
    const prefix = whole ? path.slice(0, path.lastIndexOf('/') + 1) : path;
    let entitledBytes = asset.sizeBytes;
    if (whole) {
      const [sum] = await this.#db
        .select({ bytes: sql<string>`coalesce(sum(${assets.sizeBytes}), 0)` })
        .from(assets)
        .where(
          and(
            eq(assets.siteId, siteId),
            eq(assets.state, 'ready'),
            sql`starts_with(${assets.path}, ${prefix})`,
          ),
        );
      entitledBytes = Number(sum?.bytes ?? 0);
    }
    return {
      assetId: asset.id,
      prefix,
      entitledBytes: Math.max(entitledBytes, ENTITLED_BYTES_MIN),
      holders: holders.map((row) => row.boxId),
    };
  }
}

/**
 * Where clients of a box are sent: by TLS and its name where the fleet has met it so, directly rather than through a
 * relay. The name leads to wherever that is (`dns/`), so the two have the same URL where the ports are the same.
 * @param met how the fleet itself reached the box
 * @returns null when it cannot be reached
 */
export function contentUrlOf(
  box: { id: string; label: string; contentUrl: string; secureUrl?: string | null | undefined },
  met: { direct: boolean; secure: boolean },
  relays: readonly Relayed[],
  names: BoxNames | null,
): string | null {
  const named = (port: string | number) =>
    names && `https://${box.label}.${names.domain}${Number(port) === 443 ? '' : `:${port}`}`;
  if (met.secure && names && box.secureUrl) return named(new URL(box.secureUrl).port || 443);
  if (met.direct) return box.contentUrl.replace(/\/+$/, '');
  if (names && relays.some(({ secure }) => secure)) return named(names.relayPort);
  const relay = relays[Math.floor(Math.random() * relays.length)];
  return relay ? relayedContentUrl(relay.url, box.id) : null;
}
