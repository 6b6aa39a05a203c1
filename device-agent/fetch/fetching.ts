import type { Logger } from 'pino';
import type { Store } from '#agent/store/store.ts';
import type { Clock } from '#agent/time/clock.ts';
import type { Uplink } from '#agent/uplink/uplink.ts';
import { DOWNLOAD_DEFAULTS } from './download.ts';
import { Downloads } from './downloads.ts';
import { ORIGIN_DEFAULTS, OriginClient } from './origin.ts';
import { PeerFinder } from './peer-finder.ts';

const DOWNLOADS_AT_ONCE = 2;

/** Everything that brings objects into the store, on the household's line. */
export interface Fetching {
  downloads: Downloads;
  peers: PeerFinder;
  close: () => Promise<void>;
}

export function openFetching(parts: {
  store: Store;
  uplink: Uplink;
  clock: Clock;
  log: Logger;
  /** First wait after a failed download, ms. */
  retryMs: number;
  connectionsPerHost: number;
  /** Asks the fleet who holds these. @returns false when there is no link */
  askFleet: (sha256s: string[]) => boolean;
  /** A download has ended, or may begin again. */
  onEnd: () => void;
}): Fetching {
  const { store, uplink, clock, log, retryMs, connectionsPerHost, onEnd } = parts;
  const origin = new OriginClient({ ...ORIGIN_DEFAULTS, connectionsPerHost }, uplink.down);
  const peers = new PeerFinder({ ask: parts.askFleet });
  const downloads = new Downloads({
    store,
    origin,
    options: DOWNLOAD_DEFAULTS,
    clock,
    log,
    slots: DOWNLOADS_AT_ONCE,
    retryMs,
    onEnd,
    peers: (sha256, signal) => peers.find(sha256, signal),
  });
  uplink.onAccepting((accepting) => downloads.setOpen(accepting));
  downloads.setOpen(uplink.accepting);
  return {
    downloads,
    peers,
    close: async () => {
      await downloads.stopAll();
      origin.close();
    },
  };
}
