import { and, eq, inArray, isNull, ne } from 'drizzle-orm';
import { silentAfterMs } from '#fleet/boxes/silence.ts';
import type { Database } from '#fleet/database/database.ts';
import { assets, boxes, placements } from '#fleet/database/schema.ts';
import type { FleetKeys } from '#fleet/keys/fleet-keys.ts';
import { relayedBoxes } from '#fleet/relay/standing.ts';
import { networkOf } from '#protocol/addresses.ts';
import { contentLink } from '#protocol/content-url.ts';
import { deliveryKeyFor, fillKeyFor, mintToken } from '#protocol/delivery-token.ts';
import { LIMITS } from '#protocol/limits.ts';
import type { DownMessage } from '#protocol/messages.ts';
import { PROTOCOL_VERSION } from '#protocol/messages.ts';
import { relayedContentUrl } from '#protocol/relay.ts';
import { FillLimit } from './fill-limit.ts';

/** A link for a fill is good for this long, ms. */
const LIFE_MS = 3_600_000;
/** Holders looked at for one answer. */
const MOST_HOLDERS = 100;
/** What one link entitles to, as a part of the asset: a chunk that broke off is asked for again. */
const SLACK = 1.25;
const LEAST_BYTES = 1024 * 1024;
/** Ways to a holder, best first. */
const [LAN, DIRECT, RELAYED] = [0, 1, 2];

/** Who holds what a box is to hold: the other boxes it may fill itself from. */
export class Sources {
  readonly #db: Database;
  readonly #keys: Pick<FleetKeys, 'deliverySecret' | 'sealKey'>;
  readonly #heartbeatMs: number;
  readonly #limit: FillLimit;

  constructor(
    db: Database,
    keys: Pick<FleetKeys, 'deliverySecret' | 'sealKey'>,
    heartbeatMs: number,
    now: () => number = Date.now,
  ) {
    this.#db = db;
    this.#keys = keys;
    this.#heartbeatMs = heartbeatMs;
    this.#limit = new FillLimit(now);
  }

  /**
   * Links to boxes that hold an object, for a box that is to hold it and does not: those of its own network first,
   * by the address they have there, then others that were dialled fine, then those that relays reach, since that is
   * paid for twice on the relay's line; the least loaded of each first.
   * @returns null when it asks too often, or for what is not placed on it
   */
  async forFill(boxId: string, sha256: string): Promise<DownMessage<'sources'> | null> {
    if (!this.#limit.take(`${boxId} ${sha256}`)) return null;
    const wanted = await this.#db
      .select({ asset: assets, observedAddress: boxes.observedAddress, reported: placements.reported })
      .from(placements)
      .innerJoin(assets, eq(assets.id, placements.assetId))
      .innerJoin(boxes, eq(boxes.id, placements.boxId))
      .where(
        and(
          eq(placements.boxId, boxId),
          eq(placements.desired, 'held'),
          eq(assets.sha256, sha256),
          eq(assets.state, 'ready'),
        ),
      )
      .limit(10);
    const [first] = wanted;
    if (!first) return null;
    const holders = await this.#db
      .select({ assetId: placements.assetId, box: boxes })
      .from(placements)
      .innerJoin(boxes, eq(boxes.id, placements.boxId))
      .where(
        and(
          inArray(
            placements.assetId,
            wanted.map(({ asset }) => asset.id),
          ),
          ne(placements.boxId, boxId),
          eq(placements.desired, 'held'),
          eq(placements.reported, 'held'),
          eq(placements.reportedSha256, sha256),
          eq(boxes.online, true),
          isNull(boxes.revokedAt),
        ),
      )
      .limit(MOST_HOLDERS);
    const relays = await relayedBoxes(
      this.#db,
      holders.map(({ box }) => box.id),
    );
    const network = first.observedAddress && networkOf(first.observedAddress);
    const expiresAtMs = Date.now() + LIFE_MS;
    const found = new Map<string, { boxId: string; url: string; lan: boolean; way: number; load: number }>();
    for (const { assetId, box } of holders) {
      const asset = wanted.find((entry) => entry.asset.id === assetId)?.asset;
      const { heartbeat } = box;
      if (!asset || !heartbeat || found.has(box.id) || !this.#serves(box)) continue;
      const lan =
        network != null && box.observedAddress !== null && networkOf(box.observedAddress) === network;
      const direct = box.dialOk === true && box.dialledUrl === heartbeat.contentUrl;
      const relay = relays.get(box.id)?.[0];
      // The fleet sends nobody where it has not been itself; inside their network it cannot go.
      if (!lan && !direct && !relay) continue;
      const way = lan ? LAN : direct ? DIRECT : RELAYED;
      const token = mintToken(
        {
          boxId: box.id,
          siteId: asset.siteId,
          prefix: asset.path,
          maxBytes: Math.max(LEAST_BYTES, Math.ceil((asset.sizeBytes ?? 0) * SLACK)),
          expiresAtMs,
        },
        deliveryKeyFor(this.#keys.deliverySecret, box.id),
        fillKeyFor(this.#keys.sealKey),
      );
      const own = ((lan && heartbeat.lanUrl) || heartbeat.contentUrl).replace(/\/+$/, '');
      const base = way === RELAYED && relay ? relayedContentUrl(relay.url, box.id) : own;
      const url = contentLink(base, { token, siteId: asset.siteId, path: asset.path });
      const load = heartbeat.serving.connections + heartbeat.serving.bytesPerSecond / 1e6;
      found.set(box.id, { boxId: box.id, url, lan, way, load });
    }
    const sources = [...found.values()]
      .sort((a, b) => a.way - b.way || a.load - b.load)
      .slice(0, LIMITS.sources)
      .map(({ boxId: id, url, lan }) => ({ boxId: id, url, lan }));
    return { v: PROTOCOL_VERSION, sha256, expiresAt: new Date(expiresAtMs).toISOString(), sources };
  }

  #serves(box: typeof boxes.$inferSelect): boolean {
    if (!box.heartbeat || !box.lastSeenAt) return false;
    if (!['ok', 'full', 'slow', 'read_only'].includes(box.heartbeat.store.state)) return false;
    return Date.now() - box.lastSeenAt.getTime() <= silentAfterMs(this.#heartbeatMs);
  }
}
