import type { Catalog } from '#agent/store/catalog.ts';
import type { PlannedAsset, PlannedObject } from './planner.ts';

/** Steps of one kind that one plan may hold: what is left over is the next plan's. */
const MOST_STEPS = 500;

/**
 * What the planner must see of the catalog, and no more: a box may hold some 100,000 assets, nearly all of them at
 * rest, and a plan is made at every change. Of what waits to be fetched the oldest that could begin now are enough,
 * of what expires those that are due and the next.
 */
export function viewOf(
  catalog: Catalog,
  now: { nowMs: number; fleetNowMs: number | null; slots: number },
): { assets: PlannedAsset[]; objects: PlannedObject[] } {
  return { assets: expiring(catalog, now.fleetNowMs), objects: unsettled(catalog, now) };
}

function expiring({ tables: { assets } }: Catalog, fleetNowMs: number | null): PlannedAsset[] {
  if (fleetNowMs === null) return [];
  const due: PlannedAsset[] = [];
  let next = -1;
  let nextAtMs = Number.POSITIVE_INFINITY;
  for (const row of assets.slab.rows()) {
    const expiresAtMs = assets.expiresAtMs(row);
    if (expiresAtMs === null) continue;
    if (expiresAtMs <= fleetNowMs) {
      if (due.length < MOST_STEPS) due.push({ assetId: assets.assetId(row), expiresAtMs });
    } else if (expiresAtMs < nextAtMs) {
      next = row;
      nextAtMs = expiresAtMs;
    }
  }
  if (next >= 0) due.push({ assetId: assets.assetId(next), expiresAtMs: nextAtMs });
  return due;
}

function unsettled(
  { tables: { objects, assets } }: Catalog,
  { nowMs, slots }: { nowMs: number; slots: number },
): PlannedObject[] {
  const view: PlannedObject[] = [];
  const issuedAtMs = (row: number): number => {
    let oldest = Number.POSITIVE_INFINITY;
    for (const asset of assets.ofObject(objects.firstAsset(row))) {
      oldest = Math.min(oldest, assets.issuedAtMs(asset));
    }
    return oldest;
  };
  const planned = (row: number): PlannedObject => ({
    sha256: objects.sha256(row),
    assetIds: Array.from(assets.ofObject(objects.firstAsset(row)), (asset) => assets.assetId(asset)),
    state: objects.state(row),
    downloading: objects.extra(row).downloading,
    retryAtMs: objects.extra(row).failure?.retryAtMs ?? null,
    issuedAtMs: issuedAtMs(row),
  });
  // Some more than there are slots: assets of theirs may be due to expire.
  const most = slots * 2 + 8;
  const ready: { row: number; issuedAtMs: number }[] = [];
  let nextRetry = -1;
  let nextRetryAtMs = Number.POSITIVE_INFINITY;
  let unwanted = 0;
  for (const row of objects.slab.rows()) {
    const { downloading, failure } = objects.extra(row);
    if (!objects.isWanted(row)) {
      if (unwanted++ < MOST_STEPS || downloading) view.push(planned(row));
    } else if (downloading) {
      view.push(planned(row));
    } else if (objects.isComplete(row)) {
      // At rest.
    } else if (failure && failure.retryAtMs > nowMs) {
      if (failure.retryAtMs >= nextRetryAtMs) continue;
      nextRetry = row;
      nextRetryAtMs = failure.retryAtMs;
    } else {
      keepOldest(ready, { row, issuedAtMs: issuedAtMs(row) }, most);
    }
  }
  if (nextRetry >= 0) view.push(planned(nextRetry));
  for (const { row } of ready) view.push(planned(row));
  return view;
}

function keepOldest<T extends { issuedAtMs: number }>(kept: T[], candidate: T, most: number): void {
  const last = kept.at(-1);
  if (kept.length >= most && last && last.issuedAtMs <= candidate.issuedAtMs) return;
  let at = kept.length;
  while (at > 0 && (kept[at - 1]?.issuedAtMs ?? 0) > candidate.issuedAtMs) at--;
  kept.splice(at, 0, candidate);
  if (kept.length > most) kept.pop();
}
