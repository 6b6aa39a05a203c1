/** An asset as the planner sees it. */
export interface PlannedAsset {
  assetId: string;
  /** Fleet time, ms; null: until deleted. */
  expiresAtMs: number | null;
}

/** An object as the planner sees it. */
export interface PlannedObject {
  sha256: string;
  /** Assets that need it and have not expired. */
  assetIds: readonly string[];
  state: 'absent' | 'partial' | 'complete';
  downloading: boolean;
  /** Not before this is it tried again, monotonic ms; null when it has not failed. */
  retryAtMs: number | null;
  /** When the oldest asset that needs it was asked for: the order of fetching. */
  issuedAtMs: number;
}

export interface PlanView {
  assets: readonly PlannedAsset[];
  objects: readonly PlannedObject[];
  /** Objects on the disk that no asset ever named. */
  orphans: readonly string[];
  /** The disk can take new bytes. */
  writable: boolean;
  /** Files can be removed from the disk. */
  removable: boolean;
  /** Downloads that may run at once. */
  slots: number;
  nowMs: number;
  /** Fleet time; null while unknown: then nothing expires. */
  fleetNowMs: number | null;
}

export type Step =
  | { do: 'expire'; assetId: string }
  | { do: 'stop'; sha256: string }
  | { do: 'delete'; sha256: string }
  | { do: 'fetch'; sha256: string };

/**
 * From what is wanted and what is there, the next steps, in the order they are to be done. Pure. Carried out
 * and asked again until it has none left, it ends with exactly the wanted objects on the disk.
 */
export function plan(view: PlanView): Step[] {
  const steps: Step[] = [];
  const gone = new Set<string>();
  if (view.removable) {
    for (const asset of view.assets) {
      if (hasExpired(asset, view.fleetNowMs)) {
        steps.push({ do: 'expire', assetId: asset.assetId });
        gone.add(asset.assetId);
      }
    }
  }
  const needed = (object: PlannedObject) => object.assetIds.some((assetId) => !gone.has(assetId));
  let running = 0;
  for (const object of view.objects) {
    if (needed(object)) {
      if (!object.downloading) continue;
      if (view.writable) running++;
      else steps.push({ do: 'stop', sha256: object.sha256 });
      continue;
    }
    if (object.downloading) steps.push({ do: 'stop', sha256: object.sha256 });
    if (view.removable) steps.push({ do: 'delete', sha256: object.sha256 });
  }
  if (view.removable) for (const sha256 of view.orphans) steps.push({ do: 'delete', sha256 });
  if (!view.writable) return steps;
  const ready = view.objects
    .filter((object) => needed(object) && object.state !== 'complete' && !object.downloading)
    .filter((object) => object.retryAtMs === null || object.retryAtMs <= view.nowMs)
    .sort((a, b) => a.issuedAtMs - b.issuedAtMs);
  for (const object of ready.slice(0, Math.max(0, view.slots - running))) {
    steps.push({ do: 'fetch', sha256: object.sha256 });
  }
  return steps;
}

/**
 * How long until time alone gives the planner something new to do, ms; null when it will not.
 */
export function nextWakeMs(view: PlanView): number | null {
  let soonest: number | null = null;
  const consider = (ms: number) => {
    // What is due already waits for something else than time.
    if (ms > 0) soonest = Math.min(soonest ?? ms, ms);
  };
  for (const object of view.objects) {
    if (object.retryAtMs !== null && object.state !== 'complete') consider(object.retryAtMs - view.nowMs);
  }
  if (view.fleetNowMs !== null) {
    for (const asset of view.assets) {
      if (asset.expiresAtMs !== null) consider(asset.expiresAtMs - view.fleetNowMs);
    }
  }
  return soonest;
}

function hasExpired(asset: PlannedAsset, fleetNowMs: number | null): boolean {
  return asset.expiresAtMs !== null && fleetNowMs !== null && asset.expiresAtMs <= fleetNowMs;
}
