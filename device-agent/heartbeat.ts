import os from 'node:os';
import type { MembershipParts } from '#agent/link/membership.ts';
import type { ContentServer } from '#agent/serve/content-server.ts';
import type { ServingMeter } from '#agent/serve/meter.ts';
import type { Store } from '#agent/store/store.ts';

type Heartbeat = ReturnType<ReturnType<MembershipParts['session']>['heartbeat']>;

export interface HeartbeatParts {
  /** Where clients and other boxes find the content, as far as this box knows. */
  urls: Pick<Heartbeat, 'contentUrl' | 'secureUrl' | 'lanUrl'>;
  /** Of the key that opens the dashboard from away; null while that is switched off. */
  awayKeySha256: string | null;
  store: Store;
  content: ContentServer;
  meter: ServingMeter;
}

/** What the fleet is told of the whole box. Its rate is since the last heartbeat: made once for each. */
export function heartbeatOf({ urls, awayKeySha256, store, content, meter }: HeartbeatParts): Heartbeat {
  const { bytes, objects } = store.catalog.totals();
  return {
    uptimeMs: Math.floor(process.uptime() * 1000),
    ...urls,
    away: awayKeySha256 === null ? null : { keySha256: awayKeySha256 },
    serving: {
      connections: content.connections,
      bytesPerSecond: meter.rateSinceLast(),
      bytesTotal: meter.bytesTotal,
    },
    store: {
      state: store.disk.state,
      ...store.disk.usage,
      roomBytes: store.disk.spareBytes,
      usedBytes: bytes + content.encodings.usedBytes,
      objects,
    },
    rssBytes: process.memoryUsage.rss(),
    load: os.loadavg()[0] ?? 0,
  };
}
