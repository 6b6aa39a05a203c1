import type { AssetManifest, ContentHeaders } from '#protocol/asset.ts';
import { chunkCount } from '#protocol/limits.ts';
import type { AssetReport } from '#protocol/messages.ts';

/** Why an object could not be had, and when it is tried again (monotonic ms). */
export interface Failure {
  code: string;
  message: string;
  attempts: number;
  retryAtMs: number;
}

/** One set of bytes, however many assets need it. */
export interface ObjectEntry {
  readonly sha256: string;
  readonly sizeBytes: number;
  readonly chunkSizeBytes: number;
  readonly chunks: number;
  readonly assetIds: Set<string>;
  /** `complete`: every chunk was verified and it may be served. */
  state: 'absent' | 'partial' | 'complete';
  bytesDone: number;
  downloading: boolean;
  failure: Failure | null;
  /** Fleet time of the last full verification, ISO 8601. */
  verifiedAt: string | null;
  /** Why it is being fetched again. */
  damage: string | null;
}

/** One asset the fleet wants here. The hash list stays on the disk. */
export interface AssetEntry {
  readonly assetId: string;
  readonly siteId: string;
  readonly path: string;
  readonly headers: ContentHeaders;
  readonly expiresAtMs: number | null;
  readonly issuedAtMs: number;
  readonly object: ObjectEntry;
}

/** What this box is to hold and what it holds, in memory, rebuilt from the disk. No I/O. */
export class Catalog {
  readonly assets = new Map<string, AssetEntry>();
  readonly objects = new Map<string, ObjectEntry>();
  readonly #byPath = new Map<string, AssetEntry[]>();

  /** Adds or replaces an asset. An object nothing needs any more stays listed until it is removed. */
  put(manifest: AssetManifest, expiresAtMs: number | null, issuedAtMs: number): AssetEntry {
    this.remove(manifest.assetId);
    let object = this.objects.get(manifest.sha256);
    if (!object) {
      object = {
        sha256: manifest.sha256,
        sizeBytes: manifest.sizeBytes,
        chunkSizeBytes: manifest.chunkSizeBytes,
        chunks: chunkCount(manifest.sizeBytes, manifest.chunkSizeBytes),
        assetIds: new Set(),
        state: 'absent',
        bytesDone: 0,
        downloading: false,
        failure: null,
        verifiedAt: null,
        damage: null,
      };
      this.objects.set(object.sha256, object);
    }
    object.assetIds.add(manifest.assetId);
    const { assetId, siteId, path, headers } = manifest;
    const asset: AssetEntry = { assetId, siteId, path, headers, expiresAtMs, issuedAtMs, object };
    this.assets.set(assetId, asset);
    const key = keyOf(siteId, path);
    const sharers = this.#byPath.get(key) ?? [];
    sharers.push(asset);
    // The newest word on a path is the one that is served.
    sharers.sort((a, b) => b.issuedAtMs - a.issuedAtMs);
    this.#byPath.set(key, sharers);
    return asset;
  }

  /** Takes an asset out; its object stays listed. */
  remove(assetId: string): AssetEntry | null {
    const asset = this.assets.get(assetId);
    if (!asset) return null;
    this.assets.delete(assetId);
    asset.object.assetIds.delete(assetId);
    const key = keyOf(asset.siteId, asset.path);
    const rest = (this.#byPath.get(key) ?? []).filter((other) => other !== asset);
    if (rest.length > 0) this.#byPath.set(key, rest);
    else this.#byPath.delete(key);
    return asset;
  }

  /** The asset a client means by a decoded path, whether or not its bytes are here. */
  find(siteId: string, path: string): AssetEntry | undefined {
    return this.#byPath.get(keyOf(siteId, path))?.[0];
  }

  clear(): void {
    this.assets.clear();
    this.objects.clear();
    this.#byPath.clear();
  }

  totals(): {
    held: number;
    downloading: number;
    queued: number;
    failed: number;
    bytes: number;
    objects: number;
  } {
    const totals = { held: 0, downloading: 0, queued: 0, failed: 0, bytes: 0, objects: 0 };
    for (const asset of this.assets.values()) {
      const state = stateOf(asset.object);
      if (state === 'held') totals.held++;
      else if (state === 'downloading') totals.downloading++;
      else if (state === 'failed') totals.failed++;
      else totals.queued++;
    }
    for (const object of this.objects.values()) {
      totals.bytes += object.bytesDone;
      if (object.state === 'complete') totals.objects++;
    }
    return totals;
  }
}

/** The state the fleet and the household are told. */
export function stateOf(object: ObjectEntry): 'queued' | 'downloading' | 'held' | 'failed' {
  if (object.state === 'complete') return 'held';
  if (object.downloading) return 'downloading';
  return object.failure ? 'failed' : 'queued';
}

/** What is reported of an asset. */
export function reportOf(asset: AssetEntry): AssetReport {
  const { object } = asset;
  const { failure, damage } = object;
  let reason: AssetReport['reason'] = null;
  if (failure) reason = { code: failure.code, message: failure.message.slice(0, 200) };
  else if (damage && object.state !== 'complete') reason = { code: 'chunk_mismatch', message: damage };
  return {
    assetId: asset.assetId,
    sha256: object.sha256,
    state: stateOf(object),
    bytesDone: object.bytesDone,
    reason,
  };
}

function keyOf(siteId: string, path: string): string {
  return siteId + path;
}
