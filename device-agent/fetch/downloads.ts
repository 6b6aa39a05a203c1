import { createHash } from 'node:crypto';
import type { Logger } from 'pino';
import type { ObjectEntry } from '#agent/store/catalog.ts';
import type { Store } from '#agent/store/store.ts';
import type { Clock } from '#agent/time/clock.ts';
import { chunkSpan } from '#protocol/asset.ts';
import { HearthError } from '#protocol/errors.ts';
import type { DownloadOptions } from './download.ts';
import { download } from './download.ts';
import type { OriginClient } from './origin.ts';
import { OriginError } from './origin-error.ts';
import type { PeerSource } from './source-book.ts';
import { SourceBook } from './source-book.ts';

const LONGEST_RETRY_MS = 3_600_000;
const EMPTY_SHA256 = createHash('sha256').digest('hex');

/** Asks who else holds an object; answers soon, with none if need be. */
export type FindPeers = (sha256: string, signal: AbortSignal) => Promise<readonly PeerSource[]>;

/** The downloads under way: at most `slots`, each of which can be stopped at any moment and resumed later. */
export class Downloads {
  readonly slots: number;
  readonly #store: Store;
  readonly #origin: OriginClient;
  readonly #options: DownloadOptions;
  readonly #clock: Clock;
  readonly #log: Logger;
  readonly #retryMs: number;
  readonly #onEnd: () => void;
  readonly #peers: FindPeers;
  readonly #book: SourceBook;
  #open = true;
  readonly #running = new Map<string, { abort: AbortController; done: Promise<void> }>();
  /** Objects under way whose room is spoken for. */
  readonly #promised = new Set<ObjectEntry>();

  constructor(parts: {
    store: Store;
    origin: OriginClient;
    options: DownloadOptions;
    clock: Clock;
    log: Logger;
    slots: number;
    /** First wait after a failure, ms; doubles up to an hour. */
    retryMs: number;
    /** A download has ended, one way or another. */
    onEnd: () => void;
    /** Other boxes that hold an object; without them there is the origin alone. */
    peers?: FindPeers;
  }) {
    this.#store = parts.store;
    this.#origin = parts.origin;
    this.#options = parts.options;
    this.#clock = parts.clock;
    this.#log = parts.log;
    this.slots = parts.slots;
    this.#retryMs = parts.retryMs;
    this.#onEnd = parts.onEnd;
    this.#peers = parts.peers ?? (async () => []);
    this.#book = new SourceBook(() => parts.clock.monotonic());
  }

  /** False: what runs is stopped, to be resumed later, and nothing is started; the household wants its line. */
  setOpen(open: boolean): void {
    if (open === this.#open) return;
    this.#open = open;
    if (open) this.#onEnd();
    else for (const { abort } of this.#running.values()) abort.abort();
  }

  /** Downloads under way. */
  get running(): number {
    return this.#running.size;
  }

  /** Starts one, if there is a slot and it is not complete; returns at once. */
  async start(sha256: string): Promise<void> {
    const object = this.#store.catalog.objects.get(sha256);
    if (!this.#open || !object || object.state === 'complete') return;
    if (this.#running.has(sha256) || this.#running.size >= this.slots) return;
    const abort = new AbortController();
    object.downloading = true;
    this.#store.changed(object);
    const done = this.#run(object, abort.signal).finally(() => {
      this.#running.delete(sha256);
      this.#onEnd();
    });
    this.#running.set(sha256, { abort, done });
  }

  /** Stops one and waits until it has let go of its files. */
  async stop(sha256: string): Promise<void> {
    const running = this.#running.get(sha256);
    running?.abort.abort();
    await running?.done;
  }

  async stopAll(): Promise<void> {
    await Promise.all([...this.#running.keys()].map((sha256) => this.stop(sha256)));
  }

  async #run(object: ObjectEntry, signal: AbortSignal): Promise<void> {
    try {
      await this.#fetch(object, signal);
    } catch (error) {
      object.downloading = false;
      if (!signal.aborted) this.#fail(object, error);
    }
  }

  async #fetch(object: ObjectEntry, signal: AbortSignal): Promise<void> {
    const manifest = await this.#store.manifestOf(object.sha256);
    if (!manifest) throw new HearthError('not_held', 'the object is not wanted any more');
    const { partial, good } = await this.#store.openPartial(manifest, signal).catch((error) => {
      throw signal.aborted ? error : this.#store.disk.failed(error, object.sha256);
    });
    try {
      const missing = new Set<number>();
      object.state = 'partial';
      object.bytesDone = 0;
      for (let index = 0; index < object.chunks; index++) {
        if (good.has(index)) object.bytesDone += chunkSpan(object, index).length;
        else missing.add(index);
      }
      this.#store.changed(object);
      await this.#promiseRoom(object);
      const peers = missing.size > 0 ? await this.#peers(object.sha256, signal) : [];
      const sources = { client: this.#origin, peers, book: this.#book };
      await download({ manifest, partial, missing }, sources, this.#options, signal, (index) => {
        object.bytesDone += chunkSpan(object, index).length;
        this.#store.changed(object);
      });
      if (object.chunks === 0 && object.sha256 !== EMPTY_SHA256) {
        throw new OriginError('chunk_mismatch', 'an empty asset has another SHA-256', { lasting: true });
      }
      await this.#store.commit(partial);
      this.#log.info({ sha256: object.sha256, bytes: object.sizeBytes }, 'object held');
    } catch (error) {
      if (signal.aborted || error instanceof HearthError) throw error;
      throw this.#store.disk.failed(error, object.sha256);
    } finally {
      this.#promised.delete(object);
      await partial.close().catch((error) => this.#store.disk.failed(error));
    }
  }

  /**
   * What one download will write is not there for the next: else both would fill the disk beyond what is left to
   * its owner.
   */
  async #promiseRoom(object: ObjectEntry): Promise<void> {
    const { disk } = this.#store;
    const neededBytes = object.sizeBytes - object.bytesDone;
    const spareBytes = () => {
      let spare = disk.spareBytes;
      for (const other of this.#promised) spare -= other.sizeBytes - other.bytesDone;
      return Math.max(0, spare);
    };
    // What is known of the disk is a few seconds old: near the bound it is looked at again.
    if (neededBytes > spareBytes() / 2) await disk.look();
    const spare = spareBytes();
    if (neededBytes > spare) {
      throw new HearthError('disk_full', `${neededBytes} more bytes are needed, ${spare} can be used`);
    }
    this.#promised.add(object);
  }

  #fail(object: ObjectEntry, error: unknown): void {
    const named = error instanceof HearthError ? error : new HearthError('internal', String(error));
    const attempts = (object.failure?.attempts ?? 0) + 1;
    const bound = Math.min(LONGEST_RETRY_MS, this.#retryMs * 2 ** Math.min(attempts - 1, 20));
    const asked = named instanceof OriginError ? (named.retryAfterMs ?? 0) : 0;
    // Half of it at least: this wait is to spare the origin, not only to spread the boxes.
    const waitMs = Math.max(asked, bound / 2 + (Math.random() * bound) / 2);
    object.failure = {
      code: named.code,
      message: named.message,
      attempts,
      retryAtMs: this.#clock.monotonic() + waitMs,
    };
    this.#log.warn(
      { sha256: object.sha256, code: named.code, reason: named.message, retryInS: Math.round(waitMs / 1000) },
      'a download failed and will be tried again',
    );
    this.#store.changed(object);
  }
}
