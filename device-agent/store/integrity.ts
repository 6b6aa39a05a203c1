import type { Logger } from 'pino';
import { errnoOf } from '#agent/durable/durable-file.ts';
import { wait } from '#agent/time/backoff.ts';
import type { Clock } from '#agent/time/clock.ts';
import { chunkSpan } from '#protocol/asset.ts';
import { messageOf } from '#protocol/errors.ts';
import { LIMITS } from '#protocol/limits.ts';
import { hashSlice, PIECE_BYTES } from './chunk-reader.ts';
import type { Store } from './store.ts';

export interface IntegrityProgress {
  running: boolean;
  checkedChunks: number;
  totalChunks: number;
  damagedChunks: number;
  /** Objects found damaged that were made whole again, since the start. */
  repairedObjects: number;
  /** When the last whole round ended. */
  finishedAt: string | null;
  /** When the next one begins; null while one is running, and without a period. */
  nextAt: string | null;
  periodMs: number | null;
}

export interface IntegrityFinding {
  sha256: string;
  chunkIndex: number;
}

export interface IntegrityOptions {
  /** Upper bound of what the check reads, bytes per second; a quarter of it while clients are served. */
  bytesPerSecond: number;
  /** Everything is read again within this, ms; null: only when a disk comes. */
  periodMs?: number | null;
  /** True while clients are being served. */
  busy: () => boolean;
  /** Checks what else is kept of an object that was found whole. @returns bytes read */
  alongside?: (sha256: string) => Promise<number>;
  /** Told of each damaged object, now and then of progress, and of the end. */
  onProgress: (found: IntegrityFinding[], finished: boolean) => void;
}

const PROGRESS_EVERY_MS = 10_000;
/** How often it is looked whether a round is due, ms. */
const LOOK_EVERY_MS = 60_000;
/** What was verified is written down this often during a round, ms: rarely, since it is a file of many megabytes. */
const SAVE_EVERY_MS = 6 * 3_600_000;
/** Slower than this a round need not be, bytes per second. */
const LEAST_BYTES_PER_SECOND = 65_536;
/** Damaged objects whose repair is waited for. */
const MOST_DAMAGED = 1_000;

/** The process has run out of something: that says nothing about the file. */
const OURS = ['EMFILE', 'ENFILE', 'ENOMEM'];

/** The file is gone, or something else lies in its place. */
class CannotOpen extends Error {}

/**
 * Hashes what is held again, in the background, in rounds. The first begins when a disk comes, as fast as is allowed;
 * the next half a period after the last one's end, and takes at most the other half, so that everything is read
 * within the period. A round goes from what was verified longest ago, which the store remembers: broken off by a
 * restart, it goes on where it was. An object with a damaged chunk goes out of service at once and keeps its good
 * chunks; the planner then has the bad ones fetched.
 */
export class IntegrityCheck {
  readonly #store: Store;
  readonly #options: IntegrityOptions;
  readonly #clock: Clock;
  readonly #log: Logger;
  readonly #abort = new AbortController();
  readonly #urgent = new Set<string>();
  /** Rows of the catalog's objects, those verified longest ago first. */
  #queue = new Uint32Array(0);
  #at = 0;
  #bytesPerSecond = 0;
  readonly #damaged = new Set<string>();
  #repaired = 0;
  #finishedAt: string | null = null;
  #dueAtMs: number | null = null;
  #savedAtMs = 0;
  readonly #timer: NodeJS.Timeout;
  #work: Promise<void> | null = null;
  #progress: IntegrityProgress = idle();
  #toldAtMs = 0;

  constructor(parts: { store: Store; options: IntegrityOptions; clock: Clock; log: Logger }) {
    this.#store = parts.store;
    this.#options = parts.options;
    this.#clock = parts.clock;
    this.#log = parts.log;
    this.#bytesPerSecond = parts.options.bytesPerSecond;
    parts.store.on((event) => {
      if (event.type !== 'changed' || event.asset.object.state !== 'complete') return;
      if (this.#damaged.delete(event.asset.object.sha256)) this.#repaired++;
    });
    this.#timer = setInterval(
      () => this.#startIfDue(),
      Math.min(LOOK_EVERY_MS, (this.#periodMs ?? 0) / 8 || LOOK_EVERY_MS),
    );
    this.#timer.unref();
  }

  get progress(): IntegrityProgress {
    const inMs = this.#dueAtMs === null ? null : this.#dueAtMs - this.#clock.monotonic();
    return {
      ...this.#progress,
      repairedObjects: this.#repaired,
      finishedAt: this.#finishedAt,
      nextAt: inMs === null ? null : new Date(this.#clock.bestNow() + Math.max(0, inMs)).toISOString(),
      periodMs: this.#periodMs,
    };
  }

  get #periodMs(): number | null {
    return this.#options.periodMs ?? null;
  }

  /** Checks everything held now, as fast as is allowed. */
  start(): void {
    this.#begin(this.#options.bytesPerSecond);
  }

  #startIfDue(): void {
    if (this.#dueAtMs === null || this.#periodMs === null || this.#clock.monotonic() < this.#dueAtMs) return;
    if (!this.#store.disk.readable || this.#store.isLoading) return;
    const paced = (this.#store.catalog.usedBytes * 1000) / (this.#periodMs / 2);
    const { bytesPerSecond } = this.#options;
    this.#begin(Math.min(bytesPerSecond, Math.max(LEAST_BYTES_PER_SECOND, paced)));
  }

  #begin(bytesPerSecond: number): void {
    const { objects } = this.#store.catalog.tables;
    const rows = new Uint32Array(objects.complete);
    let count = 0;
    let totalChunks = 0;
    for (const row of objects.slab.rows()) {
      if (!objects.isComplete(row)) continue;
      rows[count++] = row;
      totalChunks += Math.ceil(objects.sizeBytes(row) / objects.chunkSizeBytes(row));
    }
    this.#queue = rows.sort((a, b) => objects.verifiedAtS(a) - objects.verifiedAtS(b));
    this.#at = 0;
    this.#bytesPerSecond = bytesPerSecond;
    this.#dueAtMs = null;
    this.#savedAtMs = this.#clock.monotonic();
    this.#progress = { ...idle(), running: true, totalChunks };
    this.#kick();
  }

  /** The next of the round; null at its end. */
  #next(): string | null {
    const { objects } = this.#store.catalog.tables;
    while (this.#at < this.#queue.length) {
      const row = this.#queue[this.#at++] ?? 0;
      // It may have gone since; what has come in its place was verified when it came, and is read again.
      if (objects.slab.inUse(row) && objects.isComplete(row)) return objects.sha256(row);
    }
    return null;
  }

  /** Checks one object soon and without pause: reading it has failed. */
  recheck(sha256: string): void {
    if (this.#urgent.size >= 1000) return;
    this.#urgent.add(sha256);
    this.#kick();
  }

  async close(): Promise<void> {
    this.#abort.abort();
    clearInterval(this.#timer);
    await this.#work;
  }

  #kick(): void {
    if (this.#abort.signal.aborted) return;
    this.#work ??= this.#run()
      .catch((error) => this.#log.error({ reason: messageOf(error) }, 'the integrity check stopped'))
      .finally(() => {
        this.#work = null;
        if (this.#urgent.size > 0 || this.#at < this.#queue.length) this.#kick();
      });
  }

  async #run(): Promise<void> {
    const piece = Buffer.allocUnsafe(PIECE_BYTES);
    while (!this.#abort.signal.aborted) {
      const [urgent] = this.#urgent;
      if (urgent !== undefined) {
        this.#urgent.delete(urgent);
        await this.#check(urgent, piece, false);
        continue;
      }
      const next = this.#next();
      if (next === null) break;
      await this.#check(next, piece, true);
      await this.#saveRarely();
    }
    if (!this.#progress.running || this.#abort.signal.aborted) return;
    this.#progress = { ...this.#progress, running: false };
    this.#queue = new Uint32Array(0);
    this.#at = 0;
    this.#finishedAt = this.#clock.stamp();
    if (this.#periodMs !== null) this.#dueAtMs = this.#clock.monotonic() + this.#periodMs / 2;
    this.#options.onProgress([], true);
  }

  async #check(sha256: string, piece: Buffer, paced: boolean): Promise<void> {
    const object = this.#store.catalog.objects.get(sha256);
    if (object?.state !== 'complete' || !this.#store.disk.readable) return;
    const { epoch } = this.#store.disk;
    try {
      const damaged = await this.#damagedChunks(sha256, piece, paced);
      if (damaged === null) return;
      if (damaged.size === 0) {
        object.verifiedAt = this.#clock.stamp();
        const more = (await this.#options.alongside?.(sha256)) ?? 0;
        if (paced && more > 0) await this.#pause(more);
        return;
      }
      this.#progress = {
        ...this.#progress,
        damagedChunks: this.#progress.damagedChunks + damaged.size,
      };
      this.#log.warn({ sha256, chunks: damaged.size }, 'damaged chunks found; they are fetched again');
      if (this.#damaged.size < MOST_DAMAGED) this.#damaged.add(sha256);
      await this.#store.demote(sha256, damaged, `${damaged.size} damaged chunks were found`);
      const found = Array.from(damaged, (chunkIndex) => ({ sha256, chunkIndex }));
      for (let at = 0; at < found.length; at += LIMITS.damagedChunksPerReport) {
        this.#options.onProgress(found.slice(at, at + LIMITS.damagedChunksPerReport), false);
      }
    } catch (error) {
      if (error instanceof CannotOpen) {
        if (await this.#isGone(sha256, epoch)) this.#store.lost(sha256);
        return;
      }
      this.#log.warn({ sha256, reason: messageOf(error) }, 'an object could not be checked');
    }
  }

  /**
   * Whether a file that could not be opened is missing from the disk. Of one that was pulled it says nothing, nor where
   * it was back before anyone looked: the file opens again then.
   */
  async #isGone(sha256: string, epoch: number): Promise<boolean> {
    const { disk } = this.#store;
    await disk.look();
    if (!disk.readable || disk.epoch !== epoch) return false;
    try {
      const handle = await this.#store.openComplete(sha256);
      await handle.close();
      return false;
    } catch (error) {
      return !OURS.includes(errnoOf(error)) && disk.readable && disk.epoch === epoch;
    }
  }

  /** Indexes of the chunks that are not what they should be; null when the check was broken off. */
  async #damagedChunks(sha256: string, piece: Buffer, paced: boolean): Promise<Set<number> | null> {
    const manifest = await this.#store.manifestOf(sha256);
    if (!manifest) return null;
    const { disk } = this.#store;
    const { epoch } = disk;
    const handle = await this.#store.openComplete(sha256).catch((error) => {
      throw OURS.includes(errnoOf(error)) ? error : new CannotOpen(messageOf(error), { cause: error });
    });
    const damaged = new Set<number>();
    try {
      for (let index = 0; index * 32 < manifest.hashes.length; index++) {
        if (this.#abort.signal.aborted) return null;
        const { start, length } = chunkSpan(manifest, index);
        const digest = await hashSlice(handle, start, length, piece).catch((error) => {
          disk.failed(error, sha256, epoch);
          return null;
        });
        // Put back at once, the disk is as good as it was: only what was open is not.
        if (disk.epoch !== epoch || !disk.readable) return null;
        if (!digest?.equals(manifest.hashes.subarray(index * 32, index * 32 + 32))) damaged.add(index);
        if (paced) {
          this.#progress = { ...this.#progress, checkedChunks: this.#progress.checkedChunks + 1 };
          this.#tellProgress();
          await this.#pause(length);
        }
      }
    } finally {
      await handle.close();
    }
    return damaged;
  }

  async #pause(bytes: number): Promise<void> {
    const rate = this.#bytesPerSecond / (this.#options.busy() ? 4 : 1);
    await wait((bytes / rate) * 1000, this.#abort.signal);
  }

  /** What this round has verified need not be verified again when the power is cut. */
  async #saveRarely(): Promise<void> {
    if (this.#clock.monotonic() - this.#savedAtMs < SAVE_EVERY_MS) return;
    this.#savedAtMs = this.#clock.monotonic();
    await this.#store.saveIndex();
  }

  #tellProgress(): void {
    const now = this.#clock.monotonic();
    if (now - this.#toldAtMs < PROGRESS_EVERY_MS) return;
    this.#toldAtMs = now;
    this.#options.onProgress([], false);
  }
}

function idle(): IntegrityProgress {
  const counts = { checkedChunks: 0, totalChunks: 0, damagedChunks: 0, repairedObjects: 0 };
  return { running: false, ...counts, finishedAt: null, nextAt: null, periodMs: null };
}
