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
  finishedAt: string | null;
}

export interface IntegrityFinding {
  sha256: string;
  chunkIndex: number;
}

export interface IntegrityOptions {
  /** Upper bound of what the check reads, bytes per second; a quarter of it while clients are served. */
  bytesPerSecond: number;
  /** True while clients are being served. */
  busy: () => boolean;
  /** Told of each damaged object, now and then of progress, and of the end. */
  onProgress: (found: IntegrityFinding[], finished: boolean) => void;
}

const PROGRESS_EVERY_MS = 10_000;

/** The process has run out of something: that says nothing about the file. */
const OURS = ['EMFILE', 'ENFILE', 'ENOMEM'];

/** The file is gone, or something else lies in its place. */
class CannotOpen extends Error {}

/**
 * Hashes what is held again, in the background. An object with a damaged chunk goes out of service at once and
 * keeps its good chunks; the planner then has the bad ones fetched.
 */
export class IntegrityCheck {
  readonly #store: Store;
  readonly #options: IntegrityOptions;
  readonly #clock: Clock;
  readonly #log: Logger;
  readonly #abort = new AbortController();
  readonly #urgent = new Set<string>();
  #queue: string[] = [];
  #work: Promise<void> | null = null;
  #progress: IntegrityProgress = idle();
  #toldAtMs = 0;

  constructor(parts: { store: Store; options: IntegrityOptions; clock: Clock; log: Logger }) {
    this.#store = parts.store;
    this.#options = parts.options;
    this.#clock = parts.clock;
    this.#log = parts.log;
  }

  get progress(): IntegrityProgress {
    return this.#progress;
  }

  /** Checks everything held now. */
  start(): void {
    const held = [...this.#store.catalog.objects.values()].filter((object) => object.state === 'complete');
    this.#queue = held.map((object) => object.sha256);
    const totalChunks = held.reduce((sum, object) => sum + object.chunks, 0);
    this.#progress = { ...idle(), running: true, totalChunks };
    this.#kick();
  }

  /** Checks one object soon and without pause: reading it has failed. */
  recheck(sha256: string): void {
    if (this.#urgent.size >= 1000) return;
    this.#urgent.add(sha256);
    this.#kick();
  }

  async close(): Promise<void> {
    this.#abort.abort();
    await this.#work;
  }

  #kick(): void {
    if (this.#abort.signal.aborted) return;
    this.#work ??= this.#run()
      .catch((error) => this.#log.error({ reason: messageOf(error) }, 'the integrity check stopped'))
      .finally(() => {
        this.#work = null;
        if (this.#urgent.size > 0 || this.#queue.length > 0) this.#kick();
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
      const next = this.#queue.shift();
      if (next === undefined) break;
      await this.#check(next, piece, true);
    }
    if (!this.#progress.running || this.#abort.signal.aborted) return;
    this.#progress = { ...this.#progress, running: false, finishedAt: this.#clock.stamp() };
    this.#options.onProgress([], true);
  }

  async #check(sha256: string, piece: Buffer, paced: boolean): Promise<void> {
    const object = this.#store.catalog.objects.get(sha256);
    if (object?.state !== 'complete' || !this.#store.disk.readable) return;
    try {
      const damaged = await this.#damagedChunks(sha256, piece, paced);
      if (damaged === null) return;
      if (damaged.size === 0) {
        object.verifiedAt = this.#clock.stamp();
        return;
      }
      this.#progress = {
        ...this.#progress,
        damagedChunks: this.#progress.damagedChunks + damaged.size,
      };
      this.#log.warn({ sha256, chunks: damaged.size }, 'damaged chunks found; they are fetched again');
      await this.#store.demote(sha256, damaged, `${damaged.size} damaged chunks were found`);
      const found = Array.from(damaged, (chunkIndex) => ({ sha256, chunkIndex }));
      for (let at = 0; at < found.length; at += LIMITS.damagedChunksPerReport) {
        this.#options.onProgress(found.slice(at, at + LIMITS.damagedChunksPerReport), false);
      }
    } catch (error) {
      if (error instanceof CannotOpen) {
        await this.#store.disk.look();
        if (this.#store.disk.readable) this.#store.lost(sha256);
        return;
      }
      this.#log.warn({ sha256, reason: messageOf(error) }, 'an object could not be checked');
    }
  }

  /** Indexes of the chunks that are not what they should be; null when the check was broken off. */
  async #damagedChunks(sha256: string, piece: Buffer, paced: boolean): Promise<Set<number> | null> {
    const manifest = await this.#store.manifestOf(sha256);
    if (!manifest) return null;
    const handle = await this.#store.openComplete(sha256).catch((error) => {
      throw OURS.includes(errnoOf(error)) ? error : new CannotOpen(messageOf(error), { cause: error });
    });
    const damaged = new Set<number>();
    try {
      for (let index = 0; index * 32 < manifest.hashes.length; index++) {
        if (this.#abort.signal.aborted) return null;
        const { start, length } = chunkSpan(manifest, index);
        const digest = await hashSlice(handle, start, length, piece).catch((error) => {
          this.#store.disk.failed(error, sha256);
          return null;
        });
        if (!this.#store.disk.readable) return null;
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
    const rate = this.#options.bytesPerSecond / (this.#options.busy() ? 4 : 1);
    await wait((bytes / rate) * 1000, this.#abort.signal);
  }

  #tellProgress(): void {
    const now = this.#clock.monotonic();
    if (now - this.#toldAtMs < PROGRESS_EVERY_MS) return;
    this.#toldAtMs = now;
    this.#options.onProgress([], false);
  }
}

function idle(): IntegrityProgress {
  return { running: false, checkedChunks: 0, totalChunks: 0, damagedChunks: 0, finishedAt: null };
}
