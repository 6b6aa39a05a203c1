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
import { ManifestFiles } from './manifest-files.ts';
import type { ObjectFile } from './object-file.ts';
import type { FoundObjects, ObjectFilesOptions, PartialObject } from './object-files.ts';
import { ObjectFiles } from './object-files.ts';

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

export type StoreEvent =
  | { type: 'changed'; asset: AssetEntry }
  | { type: 'removed'; assetId: string; path: string; sha256: string; how: 'deleted' | 'expired' }
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
  /** Changes to files take turns. */
  #turn: Promise<unknown> = Promise.resolve();

  constructor(disk: Disk, log: Logger, options: ObjectFilesOptions = {}) {
    this.disk = disk;
    this.#log = log;
    this.#objects = new ObjectFiles(disk.layout, options);
    this.#manifests = new ManifestFiles(disk.layout);
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
    const code = this.disk.state === 'foreign' ? 'disk_foreign' : 'disk_absent';
    const message = this.disk.problem?.slice(0, 200) ?? 'the disk is away';
    return { ...reportOf(asset), state: 'failed', bytesDone: 0, reason: { code, message } };
  }

  /** Builds the catalog from what lies on the disk. */
  async load(): Promise<void> {
    await this.#alone(async () => {
      const found = await this.#objects.list();
      const before = new Set(this.catalog.objects.keys());
      this.catalog.clear();
      const damaged = (file: string) => this.#log.warn({ file }, 'a manifest is damaged and is left alone');
      for await (const record of this.#manifests.all(damaged)) {
        this.catalog.put(record.asset, record.expiresAtMs, record.issuedAtMs);
      }
      for (const object of this.catalog.objects.values()) {
        await this.#settleState(object, found).catch((error) => {
          object.state = 'absent';
          object.bytesDone = 0;
          this.#log.warn({ sha256: object.sha256, reason: messageOf(error) }, 'an object cannot be used');
        });
      }
      this.#orphans.clear();
      for (const sha256 of [...found.complete.keys(), ...found.partial, ...found.journals]) {
        if (!this.catalog.objects.has(sha256)) this.#orphans.add(sha256);
      }
      for (const sha256 of before) this.#emit({ type: 'withdrawn', sha256, damaged: false });
    });
    this.#emit({ type: 'loaded' });
  }

  async #settleState(object: ObjectEntry, found: FoundObjects): Promise<void> {
    const complete = found.complete.get(object.sha256);
    if (!complete) {
      object.state = found.partial.has(object.sha256) ? 'partial' : 'absent';
    } else if (complete.sizeBytes !== object.sizeBytes || found.journals.has(object.sha256)) {
      // Cut short, or a crash came between taking it out of service and moving it: verify before serving.
      if (!this.disk.writable) {
        object.state = 'absent';
        return;
      }
      await this.#objects.reopen(object.sha256);
      object.state = 'partial';
    } else {
      object.state = 'complete';
    }
    object.bytesDone = object.state === 'complete' ? object.sizeBytes : 0;
    if (object.state === 'partial') {
      const claimed = await this.#objects.claimed(object.sha256, object.chunks);
      for (const index of claimed) object.bytesDone += chunkSpan(object, index).length;
    }
  }

  /**
   * Makes an asset wanted; returns once that is durable. An older word on the same asset changes nothing.
   * @throws HearthError `disk_*`, or `conflict` when the manifest contradicts one for the same object
   */
  async want(manifest: AssetManifest, expiresAtMs: number | null, issuedAtMs: number): Promise<void> {
    await this.#alone(async () => {
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
      await this.#manifests.write(manifest, expiresAtMs, issuedAtMs);
      const asset = this.catalog.put(manifest, expiresAtMs, issuedAtMs);
      if (this.#orphans.delete(manifest.sha256)) {
        await this.#settleState(asset.object, await this.#objects.list());
      }
      asset.object.failure = null;
      this.#emit({ type: 'changed', asset });
    });
  }

  /** Makes an asset unwanted, durably. Its object is removed by a step of its own once nothing needs it. */
  async unwant(assetId: string, how: 'deleted' | 'expired'): Promise<void> {
    await this.#alone(async () => {
      const asset = this.catalog.assets.get(assetId);
      if (!asset) return;
      await this.#manifests.remove(assetId);
      this.catalog.remove(assetId);
      this.#emit({ type: 'removed', assetId, path: asset.path, sha256: asset.object.sha256, how });
    });
  }

  /** Removes an object's files, if still nothing needs them. */
  async removeObject(sha256: string): Promise<void> {
    await this.#alone(async () => {
      const object = this.catalog.objects.get(sha256);
      if (object ? object.assetIds.size > 0 : !this.#orphans.has(sha256)) return;
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
    object.state = 'absent';
    object.bytesDone = 0;
    object.damage = 'its file has gone from the disk';
    this.#emit({ type: 'withdrawn', sha256, damaged: false });
    this.changed(object);
  }

  /** Reads what is needed to fetch or check an object; null when nothing needs it any more. */
  async manifestOf(sha256: string): Promise<ObjectManifest | null> {
    const assetIds = [...(this.catalog.objects.get(sha256)?.assetIds ?? [])];
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
    try {
      const piece = Buffer.allocUnsafe(PIECE_BYTES);
      for (const index of claimed) {
        signal.throwIfAborted();
        const { start, length } = chunkSpan(manifest, index);
        const digest = await hashSlice(partial.data, start, length, piece).catch((error) => {
          // A spot that cannot be read is fetched again, and written anew.
          if (!isMediumError(errnoOf(error))) throw error;
          this.disk.failed(error, sha256);
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

  /** Waits until no change is under way. */
  async close(): Promise<void> {
    await this.#turn;
    await this.#objects.close();
  }
}
