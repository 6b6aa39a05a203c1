import { randomInt } from 'node:crypto';
import type { AssetManifest, ContentHeaders } from '#protocol/asset.ts';
import { LIMITS } from '#protocol/limits.ts';
import { ASSET_ID_BYTES, packAssetId, unpackAssetId } from './compact/asset-id.ts';
import { hashBytes, mix32, RowIndex } from './compact/row-index.ts';
import { NO_ROW, Slab } from './compact/slab.ts';
import { Interner, TextHeap } from './compact/texts.ts';

/** Where in a record each field lies. The slab's own byte holds the flags. */
const ID = 4;
const PATH_LENGTH = 14;
const SITE = 16;
const HEADERS = 20;
const LAST_MODIFIED = 24;
const PATH_AT = 28;
const OBJECT = 32;
const NEXT_OF_OBJECT = 36;
const EXPIRES_AT = 40;
const ISSUED_AT = 48;
const RECORD_BYTES = 56;

const PINNED = 0x80;
const SEEN = 0x40;
const TOLD = 0x0f;
const NO_TIME = 0xffff_ffff;
/** Dates as text that are remembered: to write one takes as long as to find an asset. */
const MOST_DATES = 512;
/** Of UTF-8, as Buffer.write may need of it. */
const SCRATCH_BYTES = LIMITS.pathBytes * 3;

/** All of the headers but a date in the common form, which is kept as a number. */
interface SharedHeaders {
  contentType: string;
  cacheControl: string | null;
  oddDate: string | null;
}

export interface NewAsset {
  manifest: Pick<AssetManifest, 'assetId' | 'siteId' | 'path' | 'headers'>;
  expiresAtMs: number | null;
  issuedAtMs: number;
  pinned: boolean;
  object: number;
}

const MOST_LATELY = 256;

/**
 * The assets, 56 bytes each, the bytes of the path, and a slot in each of two indexes: by id, and by site and
 * path. Sites and headers, which many share, are kept once.
 */
export class AssetTable {
  readonly slab = new Slab(RECORD_BYTES);
  readonly #seed = randomInt(2 ** 32 - 1);
  readonly #byId = new RowIndex((row) => this.#hashId(this.slab.u32(row, ID)));
  readonly #byPath = new RowIndex((row) => this.#hashOfPath(row));
  readonly #sites = new Interner<string>();
  readonly #headers = new Interner<SharedHeaders>();
  readonly #dates = new Map<number, string>();
  #paths = new TextHeap();
  readonly #id = Buffer.alloc(ASSET_ID_BYTES);
  readonly #text = Buffer.alloc(SCRATCH_BYTES);
  /** Rows lately asked for by id: each answer to a client asks for one. */
  readonly #lately = new Map<string, number>();
  #version = 0;

  /** Another number after each change of what is listed. */
  get version(): number {
    return this.#version;
  }

  /** There will be so many. */
  reserve(assets: number): void {
    this.#byId.reserve(assets);
    this.#byPath.reserve(assets);
  }

  /** @returns -1 when it is not listed */
  find(assetId: string): number {
    const known = this.#lately.get(assetId);
    if (known !== undefined) return known;
    const row = this.#search(assetId);
    if (this.#lately.size >= MOST_LATELY) this.#lately.clear();
    if (row >= 0) this.#lately.set(assetId, row);
    return row;
  }

  #search(assetId: string): number {
    if (!packAssetId(assetId, this.#id)) return -1;
    const wanted = this.#id;
    return this.#byId.find(this.#hashId(wanted.readUInt32BE(0)), (row) => this.slab.equals(row, ID, wanted));
  }

  /** The row with this site and path whose word is the newest; -1 when there is none. */
  findByPath(siteId: string, path: string): number {
    const site = this.#sites.find(siteId);
    if (site === undefined || path.length > LIMITS.pathBytes) return -1;
    const length = this.#text.write(path);
    let newest = -1;
    this.#byPath.find(hashBytes(this.#text, length, this.#seed ^ site), (row) => {
      const { slab } = this;
      if (slab.u32(row, SITE) !== site) return false;
      const found = slab.u32(row, PATH_AT);
      if (!this.#paths.equals(found, slab.u16(row, PATH_LENGTH), this.#text, length)) return false;
      if (newest < 0 || this.issuedAtMs(row) > this.issuedAtMs(newest)) newest = row;
      return false;
    });
    return newest;
  }

  /** @throws RangeError when the id or the path is none, which a checked manifest's cannot be */
  add({ manifest, expiresAtMs, issuedAtMs, pinned, object }: NewAsset): number {
    const { assetId, siteId, path, headers } = manifest;
    if (!packAssetId(assetId, this.#id)) throw new RangeError(`"${assetId}" is not an asset id`);
    const length = this.#text.write(path);
    if (length > LIMITS.pathBytes) throw new RangeError('the path is too long');
    const { slab } = this;
    this.#changed();
    const row = slab.alloc();
    slab.setBytes(row, ID, this.#id);
    slab.setU16(row, PATH_LENGTH, length);
    slab.setU32(row, PATH_AT, this.#paths.add(this.#text.subarray(0, length)));
    slab.setU32(row, SITE, this.#sites.take(siteId, siteId));
    const seconds = secondsOf(headers.lastModified);
    const oddDate = seconds === null ? headers.lastModified : null;
    const { contentType, cacheControl } = headers;
    const shared = { contentType, cacheControl, oddDate };
    slab.setU32(row, HEADERS, this.#headers.take(JSON.stringify(Object.values(shared)), shared));
    slab.setU32(row, LAST_MODIFIED, seconds ?? NO_TIME);
    slab.setU32(row, OBJECT, object);
    slab.setU32(row, NEXT_OF_OBJECT, NO_ROW);
    slab.setF64(row, EXPIRES_AT, expiresAtMs ?? Number.NaN);
    slab.setF64(row, ISSUED_AT, issuedAtMs);
    slab.setOwnByte(row, pinned ? PINNED : 0);
    this.#byId.add(this.#hashId(slab.u32(row, ID)), row);
    this.#byPath.add(this.#hashOfPath(row), row);
    return row;
  }

  #changed(): void {
    this.#version++;
    this.#lately.clear();
  }

  remove(row: number): void {
    const { slab } = this;
    this.#changed();
    this.#byId.remove(this.#hashId(slab.u32(row, ID)), row);
    this.#byPath.remove(this.#hashOfPath(row), row);
    this.#paths.drop(slab.u16(row, PATH_LENGTH));
    this.#sites.drop(slab.u32(row, SITE));
    this.#headers.drop(slab.u32(row, HEADERS));
    slab.release(row);
    if (this.#paths.isWasteful) this.#compact();
  }

  assetId(row: number): string {
    return unpackAssetId(this.slab.bytes(row, ID, ASSET_ID_BYTES));
  }
  siteId(row: number): string {
    return this.#sites.get(this.slab.u32(row, SITE));
  }
  path(row: number): string {
    return this.#pathBytes(row).toString('utf8');
  }
  headers(row: number): ContentHeaders {
    const { contentType, cacheControl, oddDate } = this.#headers.get(this.slab.u32(row, HEADERS));
    const seconds = this.slab.u32(row, LAST_MODIFIED);
    const lastModified = seconds === NO_TIME ? oddDate : this.#dateOf(seconds);
    return { contentType, cacheControl, lastModified };
  }
  #dateOf(seconds: number): string {
    let date = this.#dates.get(seconds);
    if (date === undefined) {
      date = new Date(seconds * 1000).toUTCString();
      if (this.#dates.size >= MOST_DATES) this.#dates.clear();
      this.#dates.set(seconds, date);
    }
    return date;
  }
  expiresAtMs(row: number): number | null {
    const value = this.slab.f64(row, EXPIRES_AT);
    return Number.isNaN(value) ? null : value;
  }
  issuedAtMs(row: number): number {
    return this.slab.f64(row, ISSUED_AT);
  }
  objectOf(row: number): number {
    return this.slab.u32(row, OBJECT);
  }
  pinned(row: number): boolean {
    return (this.slab.ownByte(row) & PINNED) !== 0;
  }
  told(row: number): number {
    return this.slab.ownByte(row) & TOLD;
  }
  setTold(row: number, code: number): void {
    this.slab.setOwnByte(row, (this.slab.ownByte(row) & ~TOLD) | (code & TOLD));
  }
  /** A mark for one walk at a time. */
  seen(row: number): boolean {
    return (this.slab.ownByte(row) & SEEN) !== 0;
  }
  setSeen(row: number, seen: boolean): void {
    const rest = this.slab.ownByte(row) & ~SEEN;
    this.slab.setOwnByte(row, seen ? rest | SEEN : rest);
  }

  /** The assets of one object, by links from the first. */
  *ofObject(first: number): Generator<number> {
    for (let row = first; row !== NO_ROW; row = this.slab.u32(row, NEXT_OF_OBJECT)) yield row;
  }
  nextOfObject(row: number): number {
    return this.slab.u32(row, NEXT_OF_OBJECT);
  }
  setNextOfObject(row: number, next: number): void {
    this.slab.setU32(row, NEXT_OF_OBJECT, next);
  }

  #pathBytes(row: number): Buffer {
    return this.#paths.read(this.slab.u32(row, PATH_AT), this.slab.u16(row, PATH_LENGTH));
  }
  #hashOfPath(row: number): number {
    const bytes = this.#pathBytes(row);
    return hashBytes(bytes, bytes.length, this.#seed ^ this.slab.u32(row, SITE));
  }
  #hashId(prefix: number): number {
    return mix32(prefix ^ this.#seed);
  }

  #compact(): void {
    const paths = new TextHeap();
    for (const row of this.slab.rows()) this.slab.setU32(row, PATH_AT, paths.add(this.#pathBytes(row)));
    this.#paths = paths;
  }
}

/** Seconds since 1970 of an HTTP date in the form everybody sends, which is then written the same; else null. */
function secondsOf(date: string | null): number | null {
  if (date === null) return null;
  const ms = Date.parse(date);
  const seconds = ms / 1000;
  if (!(seconds >= 0 && seconds < NO_TIME) || !Number.isInteger(seconds)) return null;
  return new Date(ms).toUTCString() === date ? seconds : null;
}
