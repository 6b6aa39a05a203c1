import type { ContentHeaders } from '#protocol/asset.ts';
import type { AssetTable } from './asset-table.ts';
import type { ObjectTable } from './object-table.ts';

/** Why an object could not be had, and when it is tried again (monotonic ms). */
export interface Failure {
  code: string;
  message: string;
  attempts: number;
  retryAtMs: number;
}

/** `complete`: every chunk was verified and it may be served. */
export type ObjectState = 'absent' | 'partial' | 'complete';

export interface Tables {
  readonly objects: ObjectTable;
  readonly assets: AssetTable;
}

/**
 * One set of bytes, however many assets need it: a view of its record, made when asked for. A view of what is
 * listed no more reads as absent, and what is set on it goes nowhere.
 */
export class ObjectEntry {
  readonly #tables: Tables;
  readonly row: number;
  readonly #generation: number;
  readonly sizeBytes: number;
  readonly sha256: string;

  constructor(tables: Tables, row: number) {
    this.#tables = tables;
    this.row = row;
    this.#generation = tables.objects.slab.generation(row);
    this.sizeBytes = tables.objects.sizeBytes(row);
    this.sha256 = tables.objects.sha256(row);
  }

  get isListed(): boolean {
    return this.#tables.objects.slab.isStill(this.row, this.#generation);
  }
  get chunkSizeBytes(): number {
    return this.#tables.objects.chunkSizeBytes(this.row);
  }
  get chunks(): number {
    return Math.ceil(this.sizeBytes / this.chunkSizeBytes);
  }
  /** The assets that need it. */
  get assetIds(): string[] {
    const { objects, assets } = this.#tables;
    return this.isListed
      ? Array.from(assets.ofObject(objects.firstAsset(this.row)), (row) => assets.assetId(row))
      : [];
  }
  get isWanted(): boolean {
    return this.isListed && this.#tables.objects.isWanted(this.row);
  }
  get state(): ObjectState {
    return this.isListed ? this.#tables.objects.state(this.row) : 'absent';
  }
  set state(state: ObjectState) {
    if (this.isListed) this.#tables.objects.setState(this.row, state);
  }
  get bytesDone(): number {
    return this.isListed ? this.#tables.objects.bytesDone(this.row) : 0;
  }
  /** What a complete object has is its size, whatever is set. */
  set bytesDone(bytes: number) {
    if (this.isListed) this.#tables.objects.setBytesDone(this.row, bytes);
  }
  get downloading(): boolean {
    return this.isListed && this.#tables.objects.extra(this.row).downloading;
  }
  set downloading(downloading: boolean) {
    if (this.isListed) this.#tables.objects.setExtra(this.row, { downloading });
  }
  get failure(): Failure | null {
    return this.isListed ? this.#tables.objects.extra(this.row).failure : null;
  }
  set failure(failure: Failure | null) {
    if (this.isListed) this.#tables.objects.setExtra(this.row, { failure });
  }
  /** Why it is being fetched again. */
  get damage(): string | null {
    return this.isListed ? this.#tables.objects.extra(this.row).damage : null;
  }
  set damage(damage: string | null) {
    if (this.isListed) this.#tables.objects.setExtra(this.row, { damage });
  }
  /** Fleet time of the last full verification, ISO 8601, to the second. */
  get verifiedAt(): string | null {
    const seconds = this.isListed ? this.#tables.objects.verifiedAtS(this.row) : 0;
    return seconds === 0 ? null : new Date(seconds * 1000).toISOString();
  }
  set verifiedAt(stamp: string | null) {
    const seconds = stamp === null ? 0 : Math.floor(Date.parse(stamp) / 1000);
    if (this.isListed) this.#tables.objects.setVerifiedAtS(this.row, seconds);
  }
  /** Requests it answered, as far as this box remembers. */
  get hits(): number {
    return this.isListed ? this.#tables.objects.hits(this.row) : 0;
  }
  /** Seconds since 1970 when it was last asked for; 0: not yet. */
  get lastUsedS(): number {
    return this.isListed ? this.#tables.objects.lastUsedS(this.row) : 0;
  }
  /** How much it is asked for: see evict/heat.ts. */
  get heat(): number {
    return this.isListed ? this.#tables.objects.heat(this.row) : 0;
  }
}

/** One asset the fleet wants here: a view of its record, made when asked for. The hash list stays on the disk. */
export class AssetEntry {
  readonly #tables: Tables;
  readonly row: number;
  readonly #generation: number;
  readonly assetId: string;
  readonly expiresAtMs: number | null;
  readonly issuedAtMs: number;
  readonly object: ObjectEntry;
  #path: string | null = null;
  #headers: ContentHeaders | null = null;

  constructor(tables: Tables, row: number) {
    const { assets } = tables;
    this.#tables = tables;
    this.row = row;
    this.#generation = assets.slab.generation(row);
    this.assetId = assets.assetId(row);
    this.expiresAtMs = assets.expiresAtMs(row);
    this.issuedAtMs = assets.issuedAtMs(row);
    this.object = new ObjectEntry(tables, assets.objectOf(row));
  }

  get isListed(): boolean {
    return this.#tables.assets.slab.isStill(this.row, this.#generation);
  }
  get siteId(): string {
    return this.isListed ? this.#tables.assets.siteId(this.row) : '';
  }
  get path(): string {
    if (this.#path === null && this.isListed) this.#path = this.#tables.assets.path(this.row);
    return this.#path ?? '';
  }
  get headers(): ContentHeaders {
    if (this.#headers === null && this.isListed) this.#headers = this.#tables.assets.headers(this.row);
    return this.#headers ?? NO_HEADERS;
  }
  /** Never evicted. */
  get pinned(): boolean {
    return this.isListed && this.#tables.assets.pinned(this.row);
  }
  /** The state last told to the household: one of the codes of who tells it; 0 is none. */
  get told(): number {
    return this.isListed ? this.#tables.assets.told(this.row) : 0;
  }
  set told(code: number) {
    if (this.isListed) this.#tables.assets.setTold(this.row, code);
  }

  /** Reads what is read when first asked for, so that the entry can be used after its removal. */
  keep(): this {
    void this.path;
    void this.headers;
    return this;
  }
}

const NO_HEADERS: ContentHeaders = {
  contentType: 'application/octet-stream',
  cacheControl: null,
  lastModified: null,
};
