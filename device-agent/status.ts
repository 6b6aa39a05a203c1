import type { Account } from '#agent/account/account.ts';
import type { ContentServer } from '#agent/serve/content-server.ts';
import type { ServingMeter } from '#agent/serve/meter.ts';
import type { IntegrityCheck } from '#agent/store/integrity.ts';
import type { Store } from '#agent/store/store.ts';
import type { BoxContent, BoxStatus, ContentQuery } from '#protocol/http-box.ts';
import { AGENT_VERSION } from './version.ts';

export interface StatusParts {
  box: { id: string | null; label: string | null };
  link: BoxStatus['link'];
  contentUrl: string;
  uplink: BoxStatus['uplink'];
  update: BoxStatus['update'];
  store: Store;
  meter: ServingMeter;
  /** By the household's clock. */
  servedToday: { bytes: number; requests: number };
  content: ContentServer;
  integrity: IntegrityCheck;
  account: Account;
}

/** What the household's page shows of the whole box. */
export function statusOf(parts: StatusParts): BoxStatus {
  const { store, meter, integrity } = parts;
  const { held, downloading, queued, failed, bytes } = store.catalog.totals();
  return {
    box: {
      ...parts.box,
      agentVersion: AGENT_VERSION,
      uptimeMs: Math.floor(process.uptime() * 1000),
      rssBytes: process.memoryUsage.rss(),
    },
    link: parts.link,
    serving: {
      connections: parts.content.connections,
      bytesPerSecond: meter.bytesPerSecond,
      bytesToday: parts.servedToday.bytes,
      requestsToday: parts.servedToday.requests,
      contentUrl: parts.contentUrl,
    },
    disk: {
      state: store.disk.state,
      path: store.disk.layout.root,
      ...store.disk.usage,
      usedBytes: bytes + parts.content.encodings.usedBytes,
      id: store.disk.id,
      floorBytes: store.disk.floorBytes,
      reason: store.disk.reason,
      problem: store.disk.problem,
    },
    uplink: parts.uplink,
    holding: { held, downloading, queued, failed, bytes },
    integrity: { ...integrity.progress },
    update: parts.update,
    unsettledBatches: parts.account.unsettled,
    unsettledBytes: parts.account.unsettledBytes,
  };
}

/** What this box is to hold, for the household's page: one page of it, in the order it came. */
export function contentOf(store: Store, query: ContentQuery): BoxContent {
  const { after, limit, state: wanted } = query;
  const part = query.q?.toLowerCase() ?? '';
  const items: BoxContent['items'] = [];
  const { assets } = store.catalog;
  for (const asset of after === undefined ? assets.values() : assets.after(after)) {
    if (part !== '' && !asset.path.toLowerCase().includes(part)) continue;
    const { state, bytesDone, reason } = store.report(asset);
    if (wanted !== undefined && state !== wanted) continue;
    if (items.length === limit) return { items, next: items.at(-1)?.assetId ?? null };
    const { assetId, siteId, path, headers, object, expiresAtMs } = asset;
    items.push({
      assetId,
      siteId,
      path,
      contentType: headers.contentType,
      sizeBytes: object.sizeBytes,
      bytesDone,
      state,
      reason,
      expiresAt: expiresAtMs === null ? null : new Date(expiresAtMs).toISOString(),
      pinned: asset.pinned,
      hits: object.hits,
      lastUsedAt: object.lastUsedS === 0 ? null : new Date(object.lastUsedS * 1000).toISOString(),
    });
  }
  return { items, next: null };
}
