import type { AssetReport } from '#protocol/messages.ts';
import type { ActivityLog } from './activity/activity.ts';
import type { Store } from './store/store.ts';

/** Carries what happens in the store to the fleet, the household and the planner. */
export class StoreNews {
  /** The state last told to the household, by asset. */
  readonly #told = new Map<string, string>();

  constructor(
    store: Store,
    activity: ActivityLog,
    to: { report: (report: AssetReport) => void; replan: () => void },
  ) {
    store.on((event) => {
      if (event.type === 'removed') {
        const { assetId, sha256, how, path } = event;
        this.#told.delete(assetId);
        activity.add(how === 'deleted' ? 'asset_deleted' : 'asset_expired', { path });
        to.report({ assetId, sha256, state: how, bytesDone: 0, reason: null });
        to.replan();
        return;
      }
      if (event.type === 'loaded') {
        this.#told.clear();
        // What was there before the start is no news.
        for (const asset of store.catalog.assets.values()) {
          this.#told.set(asset.assetId, `${asset.object.sha256} ${store.report(asset).state}`);
        }
        return;
      }
      if (event.type !== 'changed') return;
      const { asset } = event;
      const report = store.report(asset);
      to.report(report);
      if (report.state === 'downloading') return;
      to.replan();
      const news = `${asset.object.sha256} ${report.state}`;
      if (this.#told.get(asset.assetId) === news) return;
      this.#told.set(asset.assetId, news);
      const detail = { path: asset.path, bytes: asset.object.sizeBytes };
      if (report.state === 'failed') {
        activity.add('asset_failed', {
          ...detail,
          code: report.reason?.code ?? '',
          reason: report.reason?.message ?? '',
        });
      } else {
        activity.add(report.state === 'held' ? 'asset_held' : 'asset_queued', detail);
      }
    });
  }
}
