import { randomInt } from 'node:crypto';
import { chunkSizeFor } from '#protocol/limits.ts';
import { mix32, RowIndex } from './compact/row-index.ts';
import { NO_ROW, Slab } from './compact/slab.ts';
import type { Failure, ObjectState } from './entries.ts';

/** Where in a record each field lies. The state is the slab's own byte. */
const SHA256 = 4;
const SIZE = 36;
const VERIFIED_AT = 44;
const LAST_USED = 48;
const FIRST_ASSET = 52;
const HITS = 56;
const HEAT = 60;
const RECORD_BYTES = 64;

const STATES: readonly ObjectState[] = ['absent', 'partial', 'complete'];
const COMPLETE = 2;
const MOST_HITS = 0xffff_ffff;

/** What few objects have at a time. */
interface Extra {
  bytesDone: number;
  downloading: boolean;
  failure: Failure | null;
  damage: string | null;
}
const NOTHING: Readonly<Extra> = { bytesDone: 0, downloading: false, failure: null, damage: null };

/** The objects, 64 bytes each and a slot in the index by SHA-256; what few of them have lies beside. */
export class ObjectTable {
  readonly slab = new Slab(RECORD_BYTES);
  readonly #extras = new Map<number, Extra>();
  readonly #seed = randomInt(2 ** 32 - 1);
  readonly #index = new RowIndex((row) => this.#hash(this.slab.u32(row, SHA256)));
  readonly #scratch = Buffer.alloc(32);
  /** Messages of failures: many objects fail for one reason. */
  readonly #messages = new Map<string, string>();
  #bytes = 0;
  #complete = 0;

  /** Bytes of all that is done. */
  get bytes(): number {
    return this.#bytes;
  }
  get complete(): number {
    return this.#complete;
  }

  /** There will be so many. */
  reserve(objects: number): void {
    this.#index.reserve(objects);
  }

  /** @returns -1 when it is not listed */
  find(sha256: string): number {
    if (!this.#unhex(sha256)) return -1;
    const wanted = this.#scratch;
    return this.#index.find(this.#hash(wanted.readUInt32BE(0)), (row) =>
      this.slab.equals(row, SHA256, wanted),
    );
  }

  add(sha256: string, sizeBytes: number): number {
    if (!this.#unhex(sha256)) throw new RangeError('a SHA-256 in hex is needed');
    const row = this.slab.alloc();
    this.slab.setBytes(row, SHA256, this.#scratch);
    this.slab.setF64(row, SIZE, sizeBytes);
    this.slab.setU32(row, FIRST_ASSET, NO_ROW);
    this.#index.add(this.#hash(this.slab.u32(row, SHA256)), row);
    return row;
  }

  remove(row: number): void {
    this.#bytes -= this.bytesDone(row);
    if (this.slab.ownByte(row) === COMPLETE) this.#complete--;
    this.#index.remove(this.#hash(this.slab.u32(row, SHA256)), row);
    this.#extras.delete(row);
    this.slab.release(row);
  }

  sha256(row: number): string {
    return this.slab.bytes(row, SHA256, 32).toString('hex');
  }
  sizeBytes(row: number): number {
    return this.slab.f64(row, SIZE);
  }
  /** Follows from the size, in every manifest. */
  chunkSizeBytes(row: number): number {
    return chunkSizeFor(this.sizeBytes(row));
  }
  firstAsset(row: number): number {
    return this.slab.u32(row, FIRST_ASSET);
  }
  setFirstAsset(row: number, asset: number): void {
    this.slab.setU32(row, FIRST_ASSET, asset);
  }
  isWanted(row: number): boolean {
    return this.firstAsset(row) !== NO_ROW;
  }
  state(row: number): ObjectState {
    return STATES[this.slab.ownByte(row)] ?? 'absent';
  }
  isComplete(row: number): boolean {
    return this.slab.ownByte(row) === COMPLETE;
  }

  setState(row: number, state: ObjectState): void {
    const before = this.bytesDone(row);
    if (this.isComplete(row)) this.#complete--;
    if (state === 'complete' || this.isComplete(row)) this.setExtra(row, { bytesDone: 0 }, false);
    this.slab.setOwnByte(row, STATES.indexOf(state));
    if (state === 'complete') this.#complete++;
    this.#bytes += this.bytesDone(row) - before;
  }

  bytesDone(row: number): number {
    return this.isComplete(row) ? this.sizeBytes(row) : this.extra(row).bytesDone;
  }
  setBytesDone(row: number, bytesDone: number): void {
    if (!this.isComplete(row)) this.setExtra(row, { bytesDone });
  }

  extra(row: number): Readonly<Extra> {
    return this.#extras.get(row) ?? NOTHING;
  }
  setExtra(row: number, change: Partial<Extra>, counted = true): void {
    const before = this.extra(row);
    const after = { ...before, ...change };
    if (change.failure) after.failure = { ...change.failure, message: this.#shared(change.failure.message) };
    if (counted && !this.isComplete(row)) this.#bytes += after.bytesDone - before.bytesDone;
    const isPlain =
      after.bytesDone === 0 && !after.downloading && after.failure === null && after.damage === null;
    if (isPlain) this.#extras.delete(row);
    else this.#extras.set(row, after);
  }
  /** Rows that have something beside: those under way, failed or damaged. */
  extras(): IterableIterator<[number, Readonly<Extra>]> {
    return this.#extras.entries();
  }

  verifiedAtS(row: number): number {
    return this.slab.u32(row, VERIFIED_AT);
  }
  setVerifiedAtS(row: number, seconds: number): void {
    this.slab.setU32(row, VERIFIED_AT, Number.isFinite(seconds) ? Math.max(0, seconds) : 0);
  }
  lastUsedS(row: number): number {
    return this.slab.u32(row, LAST_USED);
  }
  hits(row: number): number {
    return this.slab.u32(row, HITS);
  }
  heat(row: number): number {
    return this.slab.f32(row, HEAT);
  }
  setUse(row: number, use: { hits: number; lastUsedS: number; heat: number }): void {
    this.slab.setU32(row, HITS, Math.min(MOST_HITS, use.hits));
    this.slab.setU32(row, LAST_USED, Math.max(0, use.lastUsedS));
    this.slab.setF32(row, HEAT, use.heat);
  }

  #shared(message: string): string {
    const known = this.#messages.get(message);
    if (known !== undefined) return known;
    if (this.#messages.size >= 1000) this.#messages.clear();
    this.#messages.set(message, message);
    return message;
  }

  #hash(prefix: number): number {
    return mix32(prefix ^ this.#seed);
  }
  #unhex(sha256: string): boolean {
    return sha256.length === 64 && this.#scratch.write(sha256, 'hex') === 32;
  }
}
