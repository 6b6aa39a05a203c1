import type { AssetReport, AssetState } from '#protocol/messages.ts';
import { ASSET_STATES } from '#protocol/messages.ts';
import type { ActivityLog } from './activity/activity.ts';
import type { Removal, Store } from './store/store.ts';
import { SELF_TEST_ASSET } from './update/self-test.ts';

/** An asset remembers in a few bits what was last told of it; 0 is nothing yet. */
const codeOf = (state: AssetState) => ASSET_STATES.indexOf(state) + 1;

/** A fleet that knows nothing of evictions takes one for a delete that it did not ask for, and heals it. */
const REMOVED: Record<Removal, Pick<AssetReport, 'state' | 'reason'>> = {
  deleted: { state: 'deleted', reason: null },
  expired: { state: 'expired', reason: null },
  evicted: { state: 'deleted', reason: { code: 'evicted', message: 'its room was needed' } },
};

/** Carries what happens in the store to the fleet, the household and the planner. */
export class StoreNews {
  constructor(
    store: Store,
    activity: ActivityLog,
    to: { report: (report: AssetReport) => void; replan: () => void },
  ) {
    store.on((event) => {
      const assetId =
        event.type === 'removed' ? event.assetId : 'asset' in event ? event.asset.assetId : null;
      // It comes and goes within this box.
      if (assetId === SELF_TEST_ASSET) return to.replan();
      if (event.type === 'removed') {
        const { assetId, sha256, how, path } = event;
        activity.add(`asset_${how}`, { path });
        to.report({ assetId, sha256, bytesDone: 0, ...REMOVED[how] });
        to.replan();
        return;
      }
      if (event.type === 'loaded') {
        // What was there before the start is no news.
        for (const asset of store.catalog.assets.values()) asset.told = codeOf(store.report(asset).state);
        return;
      }
      if (event.type !== 'changed') return;
      const { asset } = event;
      const report = store.report(asset);
      to.report(report);
      if (report.state === 'downloading') return;
      to.replan();
      const news = codeOf(report.state);
      if (asset.told === news) return;
      asset.told = news;
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
