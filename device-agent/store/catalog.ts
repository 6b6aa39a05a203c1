import type { AssetManifest } from '#protocol/asset.ts';
import type { AssetReport } from '#protocol/messages.ts';
import { AssetTable } from './asset-table.ts';
import { AssetEntry, ObjectEntry } from './entries.ts';
import { ObjectTable } from './object-table.ts';

export type { Failure, ObjectState } from './entries.ts';
export { AssetEntry, ObjectEntry } from './entries.ts';

/** What the catalog keeps of a manifest; the hash list stays on the disk. */
export type CatalogManifest = Pick<
  AssetManifest,
  'assetId' | 'siteId' | 'path' | 'headers' | 'sha256' | 'sizeBytes'
>;

export interface CatalogTotals {
  held: number;
  downloading: number;
  queued: number;
  failed: number;
  /** Of all objects, as far as they have come. */
  bytes: number;
  /** Complete objects. */
  objects: number;
}

/**
 * What this box is to hold and what it holds, in memory, rebuilt from the disk. No I/O. An asset with an object of
 * its own takes less than 200 bytes: records in pages of bytes, and entries that are views of them, made when asked
 * for. Do not use an entry as a key: the next one for the same asset is another.
 */
export class Catalog {
  #tables = { objects: new ObjectTable(), assets: new AssetTable() };

  /** By asset id. */
  readonly assets = {
    get: (assetId: string) => this.#asset(this.#tables.assets.find(assetId)),
    has: (assetId: string) => this.#tables.assets.find(assetId) >= 0,
    /** In an order that does not change while they are listed. */
    values: () => this.#assetsFrom(0),
    /** Those that `values` gives after this one; all when it is not listed. */
    after: (assetId: string) => this.#assetsFrom(this.#tables.assets.find(assetId) + 1),
  };

  /** By SHA-256. */
  readonly objects = {
    get: (sha256: string) => this.#object(this.#tables.objects.find(sha256)),
    has: (sha256: string) => this.#tables.objects.find(sha256) >= 0,
    values: () => this.#objectsFrom(0),
    after: (sha256: string) => this.#objectsFrom(this.#tables.objects.find(sha256) + 1),
    /** Takes an object that no asset needs off the list. */
    delete: (sha256: string) => {
      const row = this.#tables.objects.find(sha256);
      if (row >= 0 && !this.#tables.objects.isWanted(row)) this.#tables.objects.remove(row);
    },
  };

  /** The bare records, for walks over all of them. */
  get tables(): { readonly objects: ObjectTable; readonly assets: AssetTable } {
    return this.#tables;
  }
  get assetCount(): number {
    return this.#tables.assets.slab.size;
  }
  get objectCount(): number {
    return this.#tables.objects.slab.size;
  }
  /** Bytes of all objects, as far as they have come. */
  get usedBytes(): number {
    return this.#tables.objects.bytes;
  }

  /** There will be so many assets, most with an object of their own: to fill it takes less time then. */
  reserve(assets: number): void {
    this.#tables.objects.reserve(assets);
    this.#tables.assets.reserve(assets);
  }

  /** Adds or replaces an asset. An object nothing needs any more stays listed until it is removed. */
  put(manifest: CatalogManifest, expiresAtMs: number | null, issuedAtMs: number, pinned = false): AssetEntry {
    const { objects, assets } = this.#tables;
    this.remove(manifest.assetId);
    let object = objects.find(manifest.sha256);
    if (object < 0) object = objects.add(manifest.sha256, manifest.sizeBytes);
    const row = assets.add({ manifest, expiresAtMs, issuedAtMs, pinned, object });
    assets.setNextOfObject(row, objects.firstAsset(object));
    objects.setFirstAsset(object, row);
    return new AssetEntry(this.#tables, row);
  }

  /** Takes an asset out; its object stays listed. */
  remove(assetId: string): AssetEntry | null {
    const { objects, assets } = this.#tables;
    const row = assets.find(assetId);
    if (row < 0) return null;
    const entry = new AssetEntry(this.#tables, row).keep();
    const object = assets.objectOf(row);
    const next = assets.nextOfObject(row);
    if (objects.firstAsset(object) === row) objects.setFirstAsset(object, next);
    else {
      for (const other of assets.ofObject(objects.firstAsset(object))) {
        if (assets.nextOfObject(other) === row) assets.setNextOfObject(other, next);
      }
    }
    assets.remove(row);
    return entry;
  }

  /** The asset a client means by a decoded path, whether or not its bytes are here: the newest word on it. */
  find(siteId: string, path: string): AssetEntry | undefined {
    return this.#asset(this.#tables.assets.findByPath(siteId, path));
  }

  clear(): void {
    this.#tables = { objects: new ObjectTable(), assets: new AssetTable() };
  }

  totals(): CatalogTotals {
    const { objects, assets } = this.#tables;
    const totals = {
      held: 0,
      downloading: 0,
      queued: 0,
      failed: 0,
      bytes: objects.bytes,
      objects: objects.complete,
    };
    for (const row of assets.slab.rows()) if (objects.isComplete(assets.objectOf(row))) totals.held++;
    for (const [row, { downloading, failure }] of objects.extras()) {
      if (objects.isComplete(row) || !(downloading || failure)) continue;
      for (const _ of assets.ofObject(objects.firstAsset(row)))
        totals[downloading ? 'downloading' : 'failed']++;
    }
    totals.queued = assets.slab.size - totals.held - totals.downloading - totals.failed;
    return totals;
  }

  #asset(row: number): AssetEntry | undefined {
    return row < 0 ? undefined : new AssetEntry(this.#tables, row);
  }
  #object(row: number): ObjectEntry | undefined {
    return row < 0 ? undefined : new ObjectEntry(this.#tables, row);
  }
  *#assetsFrom(from: number): Generator<AssetEntry> {
    const tables = this.#tables;
    for (const row of tables.assets.slab.rows(from)) yield new AssetEntry(tables, row);
  }
  *#objectsFrom(from: number): Generator<ObjectEntry> {
    const tables = this.#tables;
    for (const row of tables.objects.slab.rows(from)) yield new ObjectEntry(tables, row);
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
