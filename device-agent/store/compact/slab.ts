const ROWS_PER_PAGE = 1024;
const PAGE_BITS = 10;
/** No row: marks the end of a chain. */
export const NO_ROW = 0xffff_ffff;

/** Bytes at the head of each record: in use, a byte for the owner, a generation. */
export const SLAB_HEAD_BYTES = 4;
const IN_USE = 0;
const OWN_BYTE = 1;
const GENERATION = 2;

/**
 * Records of one length in pages outside of the JavaScript heap: a record costs its bytes and nothing else, and
 * growing moves nothing. Freed rows are used again; the generation tells a row from its predecessor.
 */
export class Slab {
  readonly #recordBytes: number;
  readonly #pages: { bytes: Buffer; view: DataView }[] = [];
  #end = 0;
  #size = 0;
  #free = NO_ROW;
  #generation = 0;

  /** @param recordBytes at least 8: the head, and a link while it is free */
  constructor(recordBytes: number) {
    this.#recordBytes = recordBytes;
  }

  /** Rows in use. */
  get size(): number {
    return this.#size;
  }
  /** Above every row in use. */
  get end(): number {
    return this.#end;
  }

  /** A new row; all its bytes but the head are 0. */
  alloc(): number {
    let row = this.#free;
    if (row === NO_ROW) {
      row = this.#end++;
      if (row >>> PAGE_BITS >= this.#pages.length) {
        const bytes = Buffer.alloc(ROWS_PER_PAGE * this.#recordBytes);
        this.#pages.push({ bytes, view: new DataView(bytes.buffer, bytes.byteOffset, bytes.length) });
      }
    } else {
      this.#free = this.u32(row, SLAB_HEAD_BYTES);
    }
    const { bytes, view } = this.#page(row);
    const at = this.#at(row);
    bytes.fill(0, at, at + this.#recordBytes);
    this.#generation = (this.#generation + 1) & 0xffff;
    view.setUint8(at + IN_USE, 1);
    view.setUint16(at + GENERATION, this.#generation);
    this.#size++;
    return row;
  }

  release(row: number): void {
    this.setU8(row, IN_USE, 0);
    this.setU32(row, SLAB_HEAD_BYTES, this.#free);
    this.#free = row;
    this.#size--;
  }

  inUse(row: number): boolean {
    return row < this.#end && this.u8(row, IN_USE) === 1;
  }
  generation(row: number): number {
    return this.u16(row, GENERATION);
  }
  /** True while the row is what it was when it had this generation. */
  isStill(row: number, generation: number): boolean {
    return this.inUse(row) && this.u16(row, GENERATION) === generation;
  }
  ownByte(row: number): number {
    return this.u8(row, OWN_BYTE);
  }
  setOwnByte(row: number, value: number): void {
    this.setU8(row, OWN_BYTE, value);
  }

  /** Rows in use, lowest first; what is released meanwhile is passed over, what is added may come or not. */
  *rows(from = 0): Generator<number> {
    for (let row = from; row < this.#end; row++) if (this.inUse(row)) yield row;
  }

  u8(row: number, offset: number): number {
    return this.#page(row).view.getUint8(this.#at(row) + offset);
  }
  setU8(row: number, offset: number, value: number): void {
    this.#page(row).view.setUint8(this.#at(row) + offset, value);
  }
  u16(row: number, offset: number): number {
    return this.#page(row).view.getUint16(this.#at(row) + offset);
  }
  setU16(row: number, offset: number, value: number): void {
    this.#page(row).view.setUint16(this.#at(row) + offset, value);
  }
  u32(row: number, offset: number): number {
    return this.#page(row).view.getUint32(this.#at(row) + offset);
  }
  setU32(row: number, offset: number, value: number): void {
    this.#page(row).view.setUint32(this.#at(row) + offset, value);
  }
  f32(row: number, offset: number): number {
    return this.#page(row).view.getFloat32(this.#at(row) + offset);
  }
  setF32(row: number, offset: number, value: number): void {
    this.#page(row).view.setFloat32(this.#at(row) + offset, value);
  }
  f64(row: number, offset: number): number {
    return this.#page(row).view.getFloat64(this.#at(row) + offset);
  }
  setF64(row: number, offset: number, value: number): void {
    this.#page(row).view.setFloat64(this.#at(row) + offset, value);
  }
  setBytes(row: number, offset: number, bytes: Uint8Array): void {
    this.#page(row).bytes.set(bytes, this.#at(row) + offset);
  }
  equals(row: number, offset: number, bytes: Uint8Array): boolean {
    const at = this.#at(row) + offset;
    return this.#page(row).bytes.compare(bytes, 0, bytes.length, at, at + bytes.length) === 0;
  }
  /** The bytes themselves, not a copy: to be read at once. */
  bytes(row: number, offset: number, length: number): Buffer {
    const at = this.#at(row) + offset;
    return this.#page(row).bytes.subarray(at, at + length);
  }

  #page(row: number): { bytes: Buffer; view: DataView } {
    const page = this.#pages[row >>> PAGE_BITS];
    if (!page) throw new RangeError(`there is no row ${row}`);
    return page;
  }
  #at(row: number): number {
    return (row & (ROWS_PER_PAGE - 1)) * this.#recordBytes;
  }
}
