import { setImmediate as breathe } from 'node:timers/promises';
import type { Logger } from 'pino';
import { wait } from '#agent/time/backoff.ts';
import { messageOf } from '#protocol/errors.ts';
import { LIMITS } from '#protocol/limits.ts';
import { BriefReader } from './brief-reader.ts';
import type { AssetEntry, Catalog, ObjectEntry } from './catalog.ts';
import { ASSET_ID_BYTES, packAssetId, unpackAssetId } from './compact/asset-id.ts';
import type { Disk } from './disk.ts';
import type { ManifestFiles, ManifestRecord } from './manifest-files.ts';
import type { ObjectFiles } from './object-files.ts';
import { PresentObjects } from './present-objects.ts';
import { settleState } from './settle-state.ts';
import type { Snapshot } from './snapshot.ts';

/** Manifests read before the others get their turn at the disk: a few milliseconds of it. */
const BATCH = 256;
/** As many as an index can name. */
export const MOST_ASSETS = LIMITS.indexPages * LIMITS.indexEntriesPerPage;
/** A store with so few that the snapshot does not have is read whole, and checked, before anything else happens. */
const FEW = 1_000;
/** What is listed of each: the packed id, and whether it lies where they once all lay. */
const PENDING_BYTES = ASSET_ID_BYTES + 1;
/** Manifests compared with the snapshot in the background, each second: two small reads each. */
const AUDITS_PER_SECOND = 200;

export interface LoadingParts {
  catalog: Catalog;
  disk: Disk;
  objects: ObjectFiles;
  manifests: ManifestFiles;
  snapshot: Snapshot;
  log: Logger;
  /** Runs work when no other change to files is under way. */
  alone: <T>(work: () => Promise<T>) => Promise<T>;
  /** An object is not what the snapshot made of it: it must not be read any more. */
  onLost: (object: ObjectEntry) => void;
  /** The fleet's word on an asset, or whether it is wanted at all, was not what the snapshot said. */
  onCorrected: (asset: AssetEntry | null, gone: AssetEntry | null) => void;
}

/**
 * One reading of the disk into the catalog: what the snapshot says at once, the manifests it does not have one by
 * one, and at last, slowly, every manifest and every size beside what was taken from the snapshot.
 */
export class Loading {
  readonly #parts: LoadingParts;
  /** Manifests not read yet. */
  #pending = Buffer.alloc(0);
  #pendingAt = 0;
  #isSurveyed = false;
  #isDone = false;
  #trusted = false;
  /** Some of the catalog was read in haste. */
  #isHasty = false;
  readonly #reader = new BriefReader();
  readonly #present = new PresentObjects();
  /** What was in the workshop at the beginning. */
  #begun = new Set<string>();
  readonly #abort = new AbortController();

  constructor(parts: LoadingParts) {
    this.#parts = parts;
  }

  /** True once every manifest has been read; one that was stopped never is. */
  get isDone(): boolean {
    return this.#isDone;
  }
  /** Manifests that the snapshot did not have. */
  get unlisted(): number {
    return this.#pending.length / PENDING_BYTES;
  }
  stop(): void {
    this.#abort.abort();
  }

  /**
   * What the snapshot says, without looking at what it names: after this it can be served. A store that is small, or
   * has no snapshot, is surveyed at once. The caller sees to it that nothing else changes files.
   */
  async begin(): Promise<void> {
    const { catalog, objects, snapshot } = this.#parts;
    catalog.clear();
    this.#trusted = await snapshot.read(catalog);
    const workshop = await objects.workshop();
    this.#begun = new Set([...workshop.partial, ...workshop.journals]);
    for (const sha256 of this.#begun) {
      const object = catalog.objects.get(sha256);
      if (object) await this.#settle(object);
    }
    if (!this.#trusted || catalog.assetCount <= FEW) await this.#survey();
    if (this.#isSurveyed && this.unlisted <= FEW) while (this.#hasMore) await this.#readBatch();
    this.#noteEnd();
  }

  /** Compares names, and opens nothing: what the snapshot has too much is dropped, what it lacks is to be read. */
  async #survey(): Promise<void> {
    const { catalog, manifests, objects } = this.#parts;
    const { assets } = catalog.tables;
    let listed = Buffer.alloc(64 * PENDING_BYTES);
    let end = 0;
    const one = Buffer.alloc(PENDING_BYTES);
    for await (const { assetId, isOld } of manifests.list()) {
      const row = assets.find(assetId);
      if (row >= 0) assets.setSeen(row, true);
      else if (packAssetId(assetId, one)) {
        one[ASSET_ID_BYTES] = Number(isOld);
        if (end === listed.length) listed = Buffer.concat([listed, Buffer.alloc(end)]);
        end += one.copy(listed, end);
      }
    }
    this.#pending = listed.subarray(0, end);
    this.#isHasty = this.unlisted > FEW;
    catalog.reserve(Math.min(MOST_ASSETS, catalog.assetCount + this.unlisted));
    for (const row of assets.slab.rows()) {
      if (assets.seen(row)) assets.setSeen(row, false);
      else catalog.remove(assets.assetId(row));
    }
    for await (const names of objects.names()) {
      for (const sha256 of names) {
        if (this.#isHasty) this.#present.add(sha256);
        const object = catalog.objects.get(sha256);
        if (!object?.isWanted || object.state !== 'absent' || object.downloading) continue;
        if (!this.#begun.has(sha256)) object.state = 'complete';
      }
    }
    this.#isSurveyed = true;
  }

  /** Reads the manifests that the snapshot did not have. @returns false when it was stopped */
  async finish(): Promise<boolean> {
    if (!this.#isSurveyed) await this.#parts.alone(() => this.#survey());
    while (this.#hasMore) {
      await this.#parts.alone(() => this.#readBatch());
      await breathe();
    }
    this.#noteEnd();
    return this.#isDone;
  }

  get #hasMore(): boolean {
    return !this.#abort.signal.aborted && this.#pendingAt < this.#pending.length;
  }
  #noteEnd(): void {
    const isAtEnd = this.#isSurveyed && this.#pendingAt === this.#pending.length;
    this.#isDone ||= isAtEnd && !this.#abort.signal.aborted;
  }

  /** Learns of one asset before its turn, if its manifest has not been read yet. */
  async learn(assetId: string): Promise<void> {
    if (!this.#isDone && !this.#parts.catalog.assets.has(assetId)) await this.#read(assetId, true);
  }

  /** Objects on the disk that no manifest asks for; once all manifests are read. */
  async *orphans(): AsyncGenerator<string> {
    const { catalog, objects } = this.#parts;
    const workshop = await objects.workshop();
    for (const sha256 of new Set([...workshop.partial, ...workshop.journals])) {
      if (!catalog.objects.has(sha256)) yield sha256;
    }
    for await (const names of objects.names()) {
      for (const sha256 of names) if (!catalog.objects.has(sha256)) yield sha256;
    }
  }

  /** Compares what was taken from the snapshot with the disk, slowly; moves manifests from their old place. */
  async audit(perSecond = AUDITS_PER_SECOND): Promise<void> {
    const { catalog, alone, log, disk } = this.#parts;
    const { signal } = this.#abort;
    if (!this.#trusted && !this.#isHasty) return;
    for (const { assetId } of catalog.assets.values()) {
      if (signal.aborted) return;
      await alone(() => this.#auditOne(assetId)).catch((error) => {
        log.warn({ assetId, reason: messageOf(error) }, 'an asset could not be compared with its manifest');
      });
      if (!disk.readable) return;
      await wait(1000 / perSecond, signal);
    }
  }

  async #auditOne(assetId: string): Promise<void> {
    const { catalog, objects, manifests, snapshot, disk, onLost, onCorrected } = this.#parts;
    const known = catalog.assets.get(assetId);
    if (!known) return;
    const { epoch } = disk;
    const read = () => manifests.read(assetId).catch(() => null);
    const record = (await read()) ?? ((await this.#isStill(epoch)) ? await read() : null);
    if (!(await this.#isStill(epoch, record === null))) return;
    if (!record) {
      await snapshot.doubt(assetId);
      catalog.remove(assetId);
      onCorrected(null, known.keep());
      return;
    }
    if (!says(known, record)) {
      await snapshot.doubt(assetId);
      onCorrected(await this.#put(record), null);
      return;
    }
    const { object } = known;
    if (object.state === 'complete') {
      const isWhole = async () => (await objects.sizeOf(object.sha256)) === object.sizeBytes;
      if (!(await isWhole()) && (await this.#isStill(epoch)) && !(await isWhole())) {
        if (!(await this.#isStill(epoch))) return;
        onLost(object);
        await this.#settle(object);
        onCorrected(known, null);
      }
    }
    if (disk.writable) await manifests.settle(assetId);
  }

  /**
   * Whether it is the same disk still, so that what it said can be believed: one that was pulled says nothing of what
   * lies on it, also before that was noticed, and where it was put back at once.
   */
  async #isStill(epoch: number, isDoubted = true): Promise<boolean> {
    const { disk } = this.#parts;
    if (isDoubted) await disk.look();
    return disk.readable && disk.epoch === epoch && !this.#abort.signal.aborted;
  }

  async #readBatch(): Promise<void> {
    const { catalog, manifests, disk } = this.#parts;
    const batch: { assetId: string; file: string }[] = [];
    while (batch.length < BATCH && this.#hasMore) {
      const at = this.#pendingAt;
      this.#pendingAt += PENDING_BYTES;
      const assetId = unpackAssetId(this.#pending.subarray(at, at + ASSET_ID_BYTES));
      const isOld = this.#pending[at + ASSET_ID_BYTES] === 1;
      // The fleet may have spoken of it meanwhile; or it lies in both places, where the newer word comes second.
      if (!catalog.assets.has(assetId) || (this.#isHasty && !isOld))
        batch.push({ assetId, file: manifests.fileOf(assetId, isOld) });
    }
    if (this.#isHasty) await this.#readHastily(batch);
    else await Promise.all(batch.map(({ assetId }) => this.#read(assetId, false)));
    // What could not be read says nothing then: it is read anew once the disk is back.
    if (!disk.readable) this.stop();
  }

  /** As far as the catalog needs it, and by the names of objects alone: the audit looks at all of it later. */
  async #readHastily(batch: { assetId: string; file: string }[]): Promise<void> {
    const { catalog, disk } = this.#parts;
    const careful: string[] = [];
    const files = batch.map((one) => one.file);
    await this.#reader.readAll(files, (index, brief) => {
      const assetId = batch[index]?.assetId ?? '';
      if (!disk.readable || brief === 'gone') return;
      const isPlain = typeof brief === 'object' && brief.manifest.assetId === assetId;
      if (!isPlain || catalog.assetCount >= MOST_ASSETS || this.#begun.has(brief.manifest.sha256)) {
        careful.push(assetId);
        return;
      }
      // It may lie in both places: the newer word counts.
      const known = catalog.assets.get(assetId);
      if (known && known.issuedAtMs >= brief.issuedAtMs) return;
      const isNew = !catalog.objects.get(brief.manifest.sha256)?.isWanted;
      const { object } = catalog.put(brief.manifest, brief.expiresAtMs, brief.issuedAtMs, brief.pinned);
      if (isNew) object.state = this.#present.has(object.sha256) ? 'complete' : 'absent';
    });
    for (const assetId of careful) if (!catalog.assets.has(assetId)) await this.#read(assetId, false);
  }

  async #read(assetId: string, mayBeMissing: boolean): Promise<void> {
    const { manifests, log, disk } = this.#parts;
    let record: ManifestRecord;
    try {
      record = await manifests.read(assetId);
    } catch (error) {
      // Whatever is wrong with one, the others count. A disk that has gone is looked at by others.
      if (!mayBeMissing)
        log.warn({ assetId, reason: messageOf(error) }, 'a manifest is damaged and is left alone');
      return;
    }
    if (!disk.readable) return;
    if (this.#parts.catalog.assetCount < MOST_ASSETS) await this.#put(record);
    else log.warn({ assetId }, 'more assets lie on the disk than a box may hold');
  }

  async #put({ asset, expiresAtMs, issuedAtMs, pinned }: ManifestRecord): Promise<AssetEntry> {
    const { catalog } = this.#parts;
    // One that nothing wanted (its asset was in doubt) was not looked for on the disk either.
    const isNew = !catalog.objects.get(asset.sha256)?.isWanted;
    const entry = catalog.put(asset, expiresAtMs, issuedAtMs, pinned);
    if (isNew) await this.#settle(entry.object);
    return entry;
  }

  async #settle(object: ObjectEntry): Promise<void> {
    const { objects, disk, log } = this.#parts;
    const mayBeBegun = this.#isDone || this.#begun.has(object.sha256);
    await settleState(object, objects, { writable: disk.writable, mayBeBegun }).catch((error) => {
      object.state = 'absent';
      object.bytesDone = 0;
      log.warn({ sha256: object.sha256, reason: messageOf(error) }, 'an object cannot be used');
    });
  }
}

/** True when the catalog's entry is what the manifest says. */
function says(known: AssetEntry, { asset, expiresAtMs, issuedAtMs, pinned }: ManifestRecord): boolean {
  const { headers, object } = known;
  return (
    known.siteId === asset.siteId &&
    known.path === asset.path &&
    known.expiresAtMs === expiresAtMs &&
    known.issuedAtMs === issuedAtMs &&
    known.pinned === pinned &&
    object.sha256 === asset.sha256 &&
    object.sizeBytes === asset.sizeBytes &&
    headers.contentType === asset.headers.contentType &&
    headers.cacheControl === asset.headers.cacheControl &&
    headers.lastModified === asset.headers.lastModified
  );
}
