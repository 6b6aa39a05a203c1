import { diskTurns } from '#agent/store/disk-turns.ts';
import { placeOf } from '#agent/store/object-file.ts';
import type { Buffers } from '../buffers.ts';
import type { OpenFile, OpenFiles } from '../open-files.ts';
import { readError } from '../open-files.ts';
import type { Queued } from './fifo.ts';
import { Fifo } from './fifo.ts';

/** Objects are kept in memory in pieces of this size; their last, and small objects, are as long as they are. */
export const PIECE_BYTES = 256 * 1024;
/** Smaller objects have a buffer of their own length, which is never used for another. */
export const SMALL_BYTES = PIECE_BYTES / 2;
/** Share of the memory for pieces that were used once. */
const PROBATION_SHARE = 0.25;
/** Uses that count. */
const MOST_HITS = 3;
/** Pieces remembered after they were put out of probation. */
const MOST_GHOSTS = 4_096;
/** Buffers kept for the next piece. */
const MOST_FREE = 16;
/** Read with one call, pieces. */
export const MOST_AT_ONCE = 4;

/** Bytes of an object in memory. What is held is neither overwritten nor used again. */
export interface Piece {
  /** Where in the object its first byte is. */
  readonly start: number;
  readonly bytes: Buffer;
}

type Done = (piece: Piece | null, error: unknown) => void;

interface Entry extends Piece, Queued<Entry> {
  readonly key: string;
  readonly index: number;
  /** The whole buffer `bytes` lies in. */
  readonly room: Buffer;
  bytes: Buffer;
  holders: number;
  hits: number;
  place: 'loading' | 'probation' | 'main' | 'out' | 'apart';
  waiting: Done[];
}

/**
 * Pieces of objects in memory, bounded in bytes. Admission by frequency (S3-FIFO: Yang et al., SOSP 2023): a piece
 * starts in a small queue; used again while there, or soon after it was put out, it moves to the main one. One scan
 * of large objects so passes through the small queue and leaves the main one as it is. Readers of a piece share one
 * read and one buffer.
 */
export class PieceCache {
  readonly #limitBytes: number;
  readonly #files: OpenFiles;
  /** For slices that are nobody else's. */
  readonly #slices: Buffers;
  readonly #objects = new Map<string, Map<number, Entry>>();
  readonly #probation = new Fifo<Entry>();
  readonly #main = new Fifo<Entry>();
  readonly #ghosts = new Set<string>();
  readonly #free: Buffer[] = [];
  #bytes = 0;
  #probationBytes = 0;
  #pieces = 0;

  /** @param limitBytes of all pieces, those still held after they were put out included */
  constructor(limitBytes: number, files: OpenFiles, slices: Buffers) {
    this.#limitBytes = limitBytes;
    this.#files = files;
    this.#slices = slices;
  }

  get bytes(): number {
    return this.#bytes;
  }

  /** A piece that is in memory, and counts a use of it; undefined while it is being read. */
  get(key: string, index: number): Piece | undefined {
    const entry = this.#objects.get(key)?.get(index);
    if (!entry || entry.place === 'loading') return undefined;
    if (entry.hits < MOST_HITS) entry.hits++;
    return entry;
  }

  /** Is it here or about to be? */
  has(key: string, index: number): boolean {
    return this.#objects.get(key)?.has(index) ?? false;
  }

  /** Keeps a piece's bytes as they are until as many `drop`s. */
  hold(piece: Piece): void {
    (piece as Entry).holders++;
  }

  drop(piece: Piece): void {
    const entry = piece as Entry;
    entry.holders--;
    if (entry.holders > 0) return;
    if (entry.place === 'out') this.#release(entry);
    else if (entry.place === 'apart') this.#slices.give(entry.room);
  }

  /**
   * Reads pieces that are not in memory, one after the other in the file, with one call. If somebody reads the first
   * already, waits for that.
   * @param count at most; it ends before one that is here or being read
   * @param done is given the first piece, held for it
   * @returns false when there is no room: everything is held
   */
  load(
    file: OpenFile,
    key: string,
    sizeBytes: number,
    first: number,
    count: number,
    done: Done | null,
  ): boolean {
    const known = this.#objects.get(key)?.get(first);
    if (known) {
      if (known.place !== 'loading') {
        if (done) this.#hand(known, done, null);
      } else if (done) known.waiting.push(done);
      return true;
    }
    const entries: Entry[] = [];
    // A large object lies in parts, which end where pieces do: one read does not cross from one to the next.
    const { fd, position, lengthBytes } = placeOf(file.handle, first * PIECE_BYTES);
    const most = Math.min(count, MOST_AT_ONCE, Math.ceil(lengthBytes / PIECE_BYTES));
    const last = Math.min(first + most, Math.ceil(sizeBytes / PIECE_BYTES));
    for (let index = first; index < last && !this.has(key, index); index++) {
      const entry = this.#begin(key, index, Math.min(PIECE_BYTES, sizeBytes - index * PIECE_BYTES));
      if (!entry) break;
      entries.push(entry);
    }
    if (!entries[0]) return false;
    if (done) entries[0].waiting.push(done);
    const buffers = entries.map((entry) => entry.bytes);
    const wanted = buffers.reduce((total, buffer) => total + buffer.length, 0);
    // Closed meanwhile, its number could be another file's.
    this.#files.retain(file);
    diskTurns().readv(fd, buffers, position, (error, bytesRead) => {
      const failure = error ?? (bytesRead < wanted ? cutShort() : null);
      this.#files.release(file);
      for (const entry of entries) this.#loaded(entry, file, failure && readError(file, failure));
    });
    return true;
  }

  /** All of an object of at most `SMALL_BYTES`; its bytes may be kept for as long as they are needed. */
  async readSmall(file: OpenFile, key: string, sizeBytes: number): Promise<Buffer> {
    const bytes = await new Promise<Buffer | null>((resolve, reject) => {
      const done: Done = (piece, error) => {
        if (!piece) return void reject(error);
        this.drop(piece);
        resolve(piece.bytes);
      };
      if (!this.load(file, key, sizeBytes, 0, 1, done)) resolve(null);
    });
    if (bytes) return bytes;
    const own = Buffer.allocUnsafeSlow(sizeBytes);
    const { bytesRead } = await file.handle.read(own, 0, sizeBytes, 0).catch((error: unknown) => {
      throw readError(file, error);
    });
    if (bytesRead < sizeBytes) throw cutShort();
    return own;
  }

  /**
   * Reads a slice for one reader alone, which is not kept.
   * @param sharers how many such slices there may be: the more, the shorter
   * @param done is given it, held
   */
  loadApart(file: OpenFile, start: number, mostBytes: number, sharers: number, done: Done): void {
    const room = this.#slices.take(sharers);
    this.#files.retain(file);
    const { fd, position, lengthBytes } = placeOf(file.handle, start);
    const length = Math.min(room.length, mostBytes, lengthBytes);
    diskTurns().read(fd, room, 0, length, position, (error, bytesRead) => {
      this.#files.release(file);
      const entry = newEntry('', 0, start, room, bytesRead, 'apart');
      if (!error && bytesRead > 0) return this.#hand(entry, done, null);
      this.#slices.give(room);
      done(null, readError(file, error ?? cutShort()));
    });
  }

  /** It must not be given to new readers. */
  withdraw(key: string): void {
    const pieces = this.#objects.get(key);
    if (!pieces) return;
    this.#objects.delete(key);
    for (const entry of pieces.values()) {
      // What is being read is thrown away, or given to those that wait alone, when it has come.
      if (entry.place !== 'loading') this.#putOut(entry);
    }
  }

  clear(): void {
    for (const key of [...this.#objects.keys()]) this.withdraw(key);
    this.#ghosts.clear();
    this.#free.length = 0;
  }

  #begin(key: string, index: number, sizeBytes: number): Entry | null {
    if (!this.#makeRoom(sizeBytes)) return null;
    const room = this.#buffer(sizeBytes);
    const entry = newEntry(key, index, index * PIECE_BYTES, room, sizeBytes, 'loading');
    let pieces = this.#objects.get(key);
    if (!pieces) {
      pieces = new Map();
      this.#objects.set(key, pieces);
    }
    pieces.set(index, entry);
    this.#bytes += room.length;
    this.#pieces++;
    return entry;
  }

  #loaded(entry: Entry, file: OpenFile, error: unknown): void {
    const isKept = this.#objects.get(entry.key)?.get(entry.index) === entry;
    const { waiting } = entry;
    entry.waiting = [];
    if (error || file.withdrawn || !isKept) {
      if (isKept) this.#forget(entry);
      entry.place = 'out';
    } else {
      const ghost = nameOf(entry);
      this.#enter(entry, this.#ghosts.delete(ghost) ? 'main' : 'probation');
    }
    // Held meanwhile, so that the first of those that wait does not give it back under the others.
    entry.holders++;
    for (const done of waiting) this.#hand(entry, done, error);
    this.drop(entry);
  }

  #hand(entry: Entry, done: Done, error: unknown): void {
    if (error) {
      done(null, error);
      return;
    }
    entry.holders++;
    if (entry.hits < MOST_HITS) entry.hits++;
    done(entry, null);
  }

  #enter(entry: Entry, place: 'probation' | 'main'): void {
    entry.place = place;
    if (place === 'main') {
      this.#main.push(entry);
      return;
    }
    this.#probation.push(entry);
    this.#probationBytes += entry.room.length;
  }

  #leave(entry: Entry): void {
    if (entry.place === 'main') this.#main.remove(entry);
    else if (entry.place === 'probation') {
      this.#probation.remove(entry);
      this.#probationBytes -= entry.room.length;
    }
  }

  /** Puts pieces out until there is room. @returns false when all that is left is held */
  #makeRoom(bytes: number): boolean {
    // Each piece is looked at a bounded number of times: its uses are counted down to nothing.
    for (let looks = this.#pieces * (MOST_HITS + 2); this.#bytes + bytes > this.#limitBytes; looks--) {
      if (looks <= 0) return false;
      const onProbation = this.#probation.oldest;
      const inMain = this.#main.oldest;
      const probationFull = this.#probationBytes > this.#limitBytes * PROBATION_SHARE;
      if (onProbation && (probationFull || !inMain)) this.#judge(onProbation);
      else if (inMain) this.#judgeAgain(inMain);
      else return false;
    }
    return true;
  }

  #judge(entry: Entry): void {
    this.#leave(entry);
    if (entry.hits > 0 || entry.holders > 0) {
      entry.hits = 0;
      this.#enter(entry, 'main');
      return;
    }
    this.#ghosts.add(nameOf(entry));
    if (this.#ghosts.size > MOST_GHOSTS) {
      const [oldest] = this.#ghosts;
      if (oldest !== undefined) this.#ghosts.delete(oldest);
    }
    this.#forget(entry);
    entry.place = 'out';
    this.#release(entry);
  }

  #judgeAgain(entry: Entry): void {
    if (entry.hits > 0 || entry.holders > 0) {
      if (entry.hits > 0) entry.hits--;
      this.#main.remove(entry);
      this.#main.push(entry);
      return;
    }
    this.#forget(entry);
    this.#putOut(entry);
  }

  /** Out of its queue; its memory goes when nobody holds it. */
  #putOut(entry: Entry): void {
    this.#leave(entry);
    entry.place = 'out';
    if (entry.holders === 0) this.#release(entry);
  }

  #forget(entry: Entry): void {
    const pieces = this.#objects.get(entry.key);
    if (pieces?.get(entry.index) !== entry) return;
    pieces.delete(entry.index);
    if (pieces.size === 0) this.#objects.delete(entry.key);
  }

  #release(entry: Entry): void {
    this.#bytes -= entry.room.length;
    this.#pieces--;
    if (entry.room.length === PIECE_BYTES && this.#free.length < MOST_FREE) this.#free.push(entry.room);
  }

  #buffer(sizeBytes: number): Buffer {
    // Large ones are used again: the collector is in no hurry to give them back. Of small ones no slice is given
    // away, and they have many sizes.
    if (sizeBytes > SMALL_BYTES) return this.#free.pop() ?? Buffer.allocUnsafeSlow(PIECE_BYTES);
    return Buffer.allocUnsafeSlow(sizeBytes);
  }
}

function newEntry(
  key: string,
  index: number,
  start: number,
  room: Buffer,
  sizeBytes: number,
  place: Entry['place'],
): Entry {
  const bytes = room.length === sizeBytes ? room : room.subarray(0, sizeBytes);
  // The first use is what it is read for, and is not counted.
  return {
    key,
    index,
    start,
    room,
    bytes,
    holders: 0,
    hits: -1,
    place,
    waiting: [],
    next: null,
    previous: null,
  };
}

function cutShort(): Error {
  return new Error('the file is shorter than it should be');
}

function nameOf(entry: Entry): string {
  return `${entry.key}/${entry.index}`;
}
