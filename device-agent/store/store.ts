import type { Logger } from 'pino';
import { errnoOf } from '#agent/durable/durable-file.ts';
import type { AssetManifest } from '#protocol/asset.ts';
import { chunkSpan } from '#protocol/asset.ts';
import { HearthError, messageOf } from '#protocol/errors.ts';
import type { AssetReport } from '#protocol/messages.ts';
import type { AssetEntry, ObjectEntry } from './catalog.ts';
import { Catalog, reportOf } from './catalog.ts';
import { hashSlice, PIECE_BYTES } from './chunk-reader.ts';
import type { Disk } from './disk.ts';
import { isMediumError } from './disk-health.ts';
import { Loading, MOST_ASSETS } from './loading.ts';
import { ManifestFiles } from './manifest-files.ts';
import type { ObjectFile } from './object-file.ts';
import type { ObjectFilesOptions, ObjectPlace, PartialObject } from './object-files.ts';
import { ObjectFiles } from './object-files.ts';
import { settleState } from './settle-state.ts';
import { Snapshot } from './snapshot.ts';

/** Manifests that the snapshot does not have: with more it is worth writing anew. */
const MOST_UNLISTED = 2_000;
/** Objects that nothing asks for, remembered at a time; the next start finds the others. */
const MOST_ORPHANS = 10_000;

/** A manifest as a download and a check need it. */
export interface ObjectManifest {
  sha256: string;
  sizeBytes: number;
  chunkSizeBytes: number;
  /** 32 bytes for each chunk. */
  hashes: Buffer;
  /** Where it can be fetched, one for each asset that is this object. */
  originUrls: string[];
}

/** Why an asset is not wanted any more: the fleet's word, its time, or the room it takes. */
export type Removal = 'deleted' | 'expired' | 'evicted';

export type StoreEvent =
  | { type: 'changed'; asset: AssetEntry }
  | { type: 'removed'; assetId: string; path: string; sha256: string; how: Removal }
  /** The bytes of an object are no longer to be read: open files and copies must go; `damaged`: at once. */
  | { type: 'withdrawn'; sha256: string; damaged: boolean }
  /** The catalog was built anew from the disk. */
  | { type: 'loaded' };

/**
 * What the box is to hold and holds: the catalog in memory and the files on the disk, kept in step. The disk
 * is the truth; each change is on it before it is in the catalog.
 */
export class Store {
  readonly catalog = new Catalog();
  readonly disk: Disk;
  readonly #objects: ObjectFiles;
  readonly #manifests: ManifestFiles;
  readonly #log: Logger;
  readonly #listeners: ((event: StoreEvent) => void)[] = [];
  /** Objects on the disk that no manifest asks for. */
  readonly #orphans = new Set<string>();
  readonly #snapshot: Snapshot;
  #loading: Loading | null = null;
  #finishing: Promise<void> | null = null;
  /** Changes to files take turns. */
  #turn: Promise<unknown> = Promise.resolve();

  constructor(disk: Disk, log: Logger, options: ObjectFilesOptions = {}) {
    this.disk = disk;
    this.#log = log;
    this.#objects = new ObjectFiles(disk.layout, options);
    this.#manifests = new ManifestFiles(disk.layout);
    this.#snapshot = new Snapshot(disk.layout);
  }

  /** Objects whose files can go. */
  get orphans(): ReadonlySet<string> {
    return this.#orphans;
  }

  on(listener: (event: StoreEvent) => void): void {
    this.#listeners.push(listener);
  }

  #emit(event: StoreEvent): void {
    for (const listener of this.#listeners) listener(event);
  }

  /** Tells of a change in one object's state, for each asset that needs it. */
  changed(object: ObjectEntry): void {
    for (const assetId of object.assetIds) {
      const asset = this.catalog.assets.get(assetId);
      if (asset) this.#emit({ type: 'changed', asset });
    }
  }

  /** What the fleet is told of an asset now: nothing is held while its disk is away. */
  report(asset: AssetEntry): AssetReport {
    if (this.disk.readable) return reportOf(asset);
    const { state } = this.disk;
    const code = state === 'foreign' || state === 'failing' ? (`disk_${state}` as const) : 'disk_absent';
    const message = this.disk.problem?.slice(0, 200) ?? 'the disk is away';
    return { ...reportOf(asset), state: 'failed', bytesDone: 0, reason: { code, message } };
  }

  /**
   * Builds the catalog from what lies on the disk. When it resolves, what the snapshot knew can be served; while
   * `isLoading` manifests are still being read, and when all are, `loaded` is told.
   */
  async load(): Promise<void> {
    this.#loading?.stop();
    await this.#finishing;
    const loading = new Loading({
      catalog: this.catalog,
      disk: this.disk,
      objects: this.#objects,
      manifests: this.#manifests,
      snapshot: this.#snapshot,
      log: this.#log,
      alone: (work) => this.#alone(work),
      onLost: (object) => this.#outOfService(object, 'its file is not what it was'),
      onCorrected: (asset, gone) => {
        if (asset) this.#emit({ type: 'changed', asset });
        if (gone) this.#tellRemoved(gone, 'deleted');
      },
    });
    this.#loading = loading;
    await this.#alone(async () => {
      this.#orphans.clear();
      // Whatever was open may lie on another disk now.
      for (const { sha256 } of this.catalog.objects.values()) {
        this.#emit({ type: 'withdrawn', sha256, damaged: false });
      }
      await loading.begin();
    });
    if (loading.isDone) await this.#loaded(loading);
    this.#finishing = this.#finish(loading).catch((error) => {
      this.#log.warn({ reason: messageOf(error) }, 'the disk could not be read to the end');
    });
  }

  /** Makes sure that the catalog knows an asset that is wanted here, even while it is being read. */
  async learn(assetId: string): Promise<void> {
    if (this.isLoading) await this.#alone(async () => this.#loading?.learn(assetId));
  }

  /** True while there may be assets on the disk that the catalog does not know yet. */
  get isLoading(): boolean {
    return !(this.#loading?.isDone ?? false);
  }

  async #finish(loading: Loading): Promise<void> {
    if (!loading.isDone) {
      if (!(await loading.finish())) return;
      await this.#loaded(loading);
    }
    if (loading.unlisted > MOST_UNLISTED) await this.saveIndex();
    await loading.audit();
  }

  async #loaded(loading: Loading): Promise<void> {
    await this.#alone(async () => {
      for await (const sha256 of loading.orphans())
        if (this.#orphans.size < MOST_ORPHANS) this.#orphans.add(sha256);
    });
    this.#emit({ type: 'loaded' });
  }

  /** Writes what the next start shall know at once; nothing is lost without it but time. */
  async saveIndex(): Promise<void> {
    if (this.isLoading || !this.disk.writable) return;
    await this.#alone(() => this.#snapshot.write(this.catalog));
  }

  /**
   * Makes an asset wanted; returns once that is durable. An older word on the same asset changes nothing.
   * @param pinned never evicted
   * @throws HearthError `disk_*`, or `conflict` when the manifest contradicts one for the same object
   */
  async want(
    manifest: AssetManifest,
    expiresAtMs: number | null,
    issuedAtMs: number,
    pinned = false,
  ): Promise<void> {
    await this.#alone(async () => {
      await this.#loading?.learn(manifest.assetId);
      const known = this.catalog.assets.get(manifest.assetId);
      if (known && known.issuedAtMs > issuedAtMs) return;
      // A full disk may well have room for a manifest.
      if (this.disk.state !== 'full') this.disk.assertWritable();
      const sharers = this.catalog.objects.get(manifest.sha256)?.assetIds ?? [];
      const sharer = [...sharers].find((assetId) => assetId !== manifest.assetId);
      if (sharer !== undefined) {
        // One that cannot be read any more contradicts nothing, and must not keep others from being written.
        const other = (await this.#manifests.read(sharer).catch(() => null))?.asset;
        if (other && (other.sizeBytes !== manifest.sizeBytes || other.chunkHashes !== manifest.chunkHashes)) {
          throw new HearthError('conflict', `${manifest.assetId} and ${sharer} differ on one SHA-256`);
        }
      }
      if (!known && this.catalog.assetCount >= MOST_ASSETS) {
        throw new HearthError(
          'payload_too_large',
          `a box holds at most ${MOST_ASSETS} assets: delete some first`,
        );
      }
      if (known) await this.#snapshot.doubt(manifest.assetId);
      await this.#manifests.write(manifest, expiresAtMs, issuedAtMs, pinned);
      const isNew = !this.catalog.objects.get(manifest.sha256)?.isWanted;
      const asset = this.catalog.put(manifest, expiresAtMs, issuedAtMs, pinned);
      this.#orphans.delete(manifest.sha256);
      // Its bytes may be here from before, or the disk may be read only as far as this.
      if (isNew) {
        await settleState(asset.object, this.#objects, { writable: this.disk.writable, mayBeBegun: true });
      }
      asset.object.failure = null;
      this.#emit({ type: 'changed', asset });
    });
  }

  /** Makes an asset unwanted, durably. Its object is removed by a step of its own once nothing needs it. */
  async unwant(assetId: string, how: Removal): Promise<void> {
    await this.#alone(async () => {
      await this.#loading?.learn(assetId);
      if (!this.catalog.assets.has(assetId)) return;
      await this.#snapshot.doubt(assetId);
      await this.#manifests.remove(assetId);
      const asset = this.catalog.remove(assetId);
      if (asset) this.#tellRemoved(asset, how);
    });
  }

  #tellRemoved(asset: AssetEntry, how: Removal): void {
    const { assetId, path, object } = asset;
    this.#emit({ type: 'removed', assetId, path, sha256: object.sha256, how });
  }

  /** Removes an object's files, if still nothing needs them. */
  async removeObject(sha256: string): Promise<void> {
    await this.#alone(async () => {
      const object = this.catalog.objects.get(sha256);
      if (object ? object.isWanted || this.isLoading : !this.#orphans.has(sha256)) return;
      this.catalog.objects.delete(sha256);
      // Listed as an orphan until the files are gone, so that a failure is made up for later.
      this.#orphans.add(sha256);
      this.#emit({ type: 'withdrawn', sha256, damaged: false });
      await this.#objects.remove(sha256);
      this.#orphans.delete(sha256);
    });
  }

  /** The file of an object has gone from the disk, or cannot be opened: it is to be fetched again. */
  lost(sha256: string): void {
    const object = this.catalog.objects.get(sha256);
    if (object?.state !== 'complete') return;
    this.#outOfService(object, 'its file has gone from the disk');
    this.changed(object);
  }

  #outOfService(object: ObjectEntry, why: string): void {
    object.state = 'absent';
    object.damage = why;
    this.#emit({ type: 'withdrawn', sha256: object.sha256, damaged: false });
  }

  /** Reads what is needed to fetch or check an object; null when nothing needs it any more. */
  async manifestOf(sha256: string): Promise<ObjectManifest | null> {
    const assetIds = this.catalog.objects.get(sha256)?.assetIds ?? [];
    let first: AssetManifest | null = null;
    const originUrls: string[] = [];
    for (const assetId of assetIds.slice(0, 4)) {
      const { asset } = await this.#manifests.read(assetId).catch((error) => {
        throw this.disk.failed(error);
      });
      first ??= asset;
      if (!originUrls.includes(asset.originUrl)) originUrls.push(asset.originUrl);
    }
    if (!first) return null;
    const { sizeBytes, chunkSizeBytes } = first;
    const hashes = Buffer.from(first.chunkHashes, 'base64url');
    return { sha256, sizeBytes, chunkSizeBytes, hashes, originUrls };
  }

  /** Opens an object to be filled and verifies what is already there. Returns the chunks that are good. */
  async openPartial(
    manifest: ObjectManifest,
    signal: AbortSignal,
  ): Promise<{ partial: PartialObject; good: Set<number> }> {
    const { sha256 } = manifest;
    const chunks = manifest.hashes.length / 32;
    const { claimed, partial } = await this.#alone(async () => ({
      claimed: await this.#objects.claimed(sha256, chunks),
      partial: await this.#objects.openPartial(sha256, manifest.sizeBytes),
    }));
    const good = new Set<number>();
    const { epoch } = this.disk;
    try {
      const piece = Buffer.allocUnsafe(PIECE_BYTES);
      for (const index of claimed) {
        signal.throwIfAborted();
        const { start, length } = chunkSpan(manifest, index);
        const digest = await hashSlice(partial.data, start, length, piece).catch((error) => {
          // A spot that cannot be read is fetched again, and written anew.
          if (!isMediumError(errnoOf(error))) throw error;
          const named = this.disk.failed(error, sha256, epoch);
          if (this.disk.epoch !== epoch) throw named;
          return null;
        });
        if (digest?.equals(manifest.hashes.subarray(index * 32, index * 32 + 32))) good.add(index);
      }
    } catch (error) {
      await partial.close();
      throw error;
    }
    return { partial, good };
  }

  /** Puts a filled object into service. */
  async commit(partial: PartialObject): Promise<void> {
    await this.#alone(async () => {
      const object = this.catalog.objects.get(partial.sha256);
      if (!object) throw new HearthError('not_held', 'the object is not wanted any more');
      await partial.commit();
      object.state = 'complete';
      object.bytesDone = object.sizeBytes;
      object.failure = null;
      object.damage = null;
      object.downloading = false;
      object.verifiedAt = this.disk.stamp();
      this.changed(object);
    });
  }

  /** Opens a complete object for reading. */
  async openComplete(sha256: string): Promise<ObjectFile> {
    return this.#objects.openComplete(sha256);
  }

  /** Where a complete object is, for another process to open it as `openComplete` does. */
  locate(sha256: string): ObjectPlace {
    return this.#objects.locate(sha256);
  }

  /**
   * Takes an object out of service at once, since some of its chunks are damaged; the others are kept.
   * @param damaged indexes of the bad chunks
   */
  async demote(sha256: string, damaged: ReadonlySet<number>, why: string): Promise<void> {
    const object = this.catalog.objects.get(sha256);
    if (object?.state !== 'complete') return;
    object.state = 'partial';
    object.damage = why;
    object.verifiedAt = null;
    object.bytesDone = 0;
    const good: number[] = [];
    for (let index = 0; index < object.chunks; index++) {
      if (damaged.has(index)) continue;
      good.push(index);
      object.bytesDone += chunkSpan(object, index).length;
    }
    this.#emit({ type: 'withdrawn', sha256, damaged: true });
    // In the queue before anyone hears of it: a download that began on new files would be overwritten by the move.
    const moved = this.#alone(() => this.#objects.demote(sha256, good));
    this.changed(object);
    await moved;
  }

  /**
   * Takes an object out of service at once because reading it has failed; what of it can still be read is verified
   * and kept when it is fetched again.
   */
  async quarantine(sha256: string, why: string): Promise<void> {
    await this.demote(sha256, new Set(), why);
  }

  /** Runs changes to files one after another, and names what the disk does to them. */
  #alone<T>(work: () => Promise<T>): Promise<T> {
    const result = this.#turn.then(async () => {
      try {
        return await work();
      } catch (error) {
        throw this.disk.failed(error);
      }
    });
    this.#turn = result.catch(() => undefined);
    return result;
  }

  /** Waits until no change is under way, and leaves what the next start shall know at once. */
  async close(): Promise<void> {
    const isWhole = !this.isLoading;
    this.#loading?.stop();
    await this.#finishing;
    if (isWhole && this.disk.writable) {
      await this.#alone(() => this.#snapshot.write(this.catalog)).catch((error) => {
        this.#log.warn({ reason: messageOf(error) }, 'the index could not be saved');
      });
    }
    await this.#turn;
    await this.#objects.close();
  }
}
