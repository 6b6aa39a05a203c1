import type { Catalog, ObjectEntry } from '#agent/store/catalog.ts';

/** An object that may go, with all assets that need it. */
export interface Victim {
  sha256: string;
  sizeBytes: number;
  heat: number;
  assetIds: string[];
}

export interface Need {
  bytes: number;
  /** Only what is colder than this may go; infinite when the household wants its room. */
  below: number;
  /** Fleet time; null while unknown. */
  nowMs: number | null;
  /** What the fleet wants kept: last of all, and only when `below` is infinite. */
  vetoed: ReadonlySet<string>;
  /** Most assets named. */
  most: number;
}

/**
 * What is to go so that so much room is free, in the order in which it goes: expired first, then the coldest. What
 * is pinned, being fetched or not wanted anyway is never among them. All or as much as there is: the caller asks
 * again for what it was refused.
 */
export function chooseVictims(catalog: Catalog, need: Need): Victim[] {
  const { objects, assets } = catalog.tables;
  const ranked: { row: number; rank: number }[] = [];
  for (const row of objects.slab.rows()) {
    if (!objects.isWanted(row) || objects.bytesDone(row) === 0 || objects.extra(row).downloading) continue;
    let isExpired = need.nowMs !== null;
    let isPinned = false;
    let isVetoed = false;
    for (const asset of assets.ofObject(objects.firstAsset(row))) {
      const expiresAtMs = assets.expiresAtMs(asset);
      isExpired &&= expiresAtMs !== null && need.nowMs !== null && expiresAtMs <= need.nowMs;
      isPinned ||= assets.pinned(asset);
      isVetoed ||= need.vetoed.size > 0 && need.vetoed.has(assets.assetId(asset));
    }
    if (isPinned) continue;
    const heat = objects.heat(row);
    if (isExpired) ranked.push({ row, rank: Number.NEGATIVE_INFINITY });
    else if (isVetoed && need.below === Number.POSITIVE_INFINITY) ranked.push({ row, rank: LAST + heat });
    else if (!isVetoed && heat < need.below) ranked.push({ row, rank: heat });
  }
  ranked.sort((a, b) => a.rank - b.rank);
  const victims: Victim[] = [];
  let bytes = 0;
  let named = 0;
  for (const { row } of ranked) {
    const assetIds = Array.from(assets.ofObject(objects.firstAsset(row)), (asset) => assets.assetId(asset));
    named += assetIds.length;
    if (bytes >= need.bytes || named > need.most) break;
    bytes += objects.bytesDone(row);
    const [sha256, sizeBytes, heat] = [objects.sha256(row), objects.sizeBytes(row), objects.heat(row)];
    victims.push({ sha256, sizeBytes, heat, assetIds });
  }
  // To put some out for a newcomer that then has no room would be for nothing; the household takes what it gets.
  const isEnough = bytes >= need.bytes || named > need.most || need.below === Number.POSITIVE_INFINITY;
  return isEnough ? victims : [];
}

/** Above every heat. */
const LAST = 1e9;

/** Of what waits for room, what is worth most. */
export function warmestWaiting(catalog: Catalog): ObjectEntry | null {
  const { objects } = catalog.tables;
  let warmest = -1;
  for (const [row, { failure }] of objects.extras()) {
    if (failure?.code !== 'disk_full' || !objects.isWanted(row)) continue;
    if (warmest < 0 || objects.heat(row) > objects.heat(warmest)) warmest = row;
  }
  return warmest < 0 ? null : (catalog.objects.get(objects.sha256(warmest)) ?? null);
}
