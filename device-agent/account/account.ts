import type { FileHandle } from 'node:fs/promises';
import type { Logger } from 'pino';
import { messageOf } from '#protocol/errors.ts';
import type { Delivery } from '#protocol/messages.ts';
import type { Batch } from './batch.ts';
import { bytesOf, makeBatches } from './batch.ts';
import { DeliveryFiles } from './delivery-files.ts';
import { readSegment, segmentText, Tally } from './tally.ts';

export interface AccountOptions {
  /** Least time between two batches, ms. */
  flushMs: number;
  /** Batches kept; when there are so many, counts are gathered and not cut into further ones. */
  maxBatches: number;
  stamp: () => string;
  log: Logger;
  /** There is something to be sent. */
  onReady: () => void;
  /** Writing failed. */
  onTrouble: (error: unknown) => void;
}

/** One segment's batches, waiting to be settled. */
interface Waiting {
  seq: number;
  /** Those not yet settled, with the bytes they tell of. */
  batches: Map<string, number>;
  /** In memory while they are nowhere else. */
  inMemory: Batch[] | null;
  /** False while a segment on the disk could yet give these counts another batch id. */
  sendable: boolean;
}

/** Appends follow each other at this distance when there is much to append, ms. */
const APPEND_MS = 200;
const SYNC_MS = 1_000;
/** A segment that has grown so long is written anew, without repetitions, bytes. */
const LONG_SEGMENT_BYTES = 4 * 1024 * 1024;
/** Batches kept while there is no disk to keep them on. */
const MOST_IN_MEMORY = 20;

/**
 * Counts what was delivered, so that a kill at any moment loses next to nothing and counts nothing twice. Counts
 * are appended to a segment; a closed segment becomes batches, written whole before its removal and before they
 * are sent; they are sent as they were written until the fleet has settled them. A segment none of which
 * reached the disk is sent from memory.
 */
export class Account {
  readonly #options: AccountOptions;
  #files: DeliveryFiles | null = null;
  #waiting: Waiting[] = [];
  /** The open segment. */
  #seq = 1;
  #tally = new Tally();
  #handle: FileHandle | null = null;
  #segmentBytes = 0;
  #rewriteAtBytes = LONG_SEGMENT_BYTES;
  /** Counts in the tally that the segment's file has not. */
  #unwritten = new Tally();
  /** The segment's file could not be written: it is on the disk only in part. */
  #broken = false;
  #appendTimer: NodeJS.Timeout | null = null;
  #lastAppendAtMs = 0;
  #lostWarned = false;
  #dirty = false;
  readonly #timers: NodeJS.Timeout[] = [];
  #turn: Promise<unknown> = Promise.resolve();

  constructor(options: AccountOptions) {
    this.#options = options;
    this.#timers.push(setInterval(() => void this.roll(), options.flushMs));
    this.#timers.push(setInterval(() => void this.#sync(), SYNC_MS));
    for (const timer of this.#timers) timer.unref();
  }

  /** Batches not yet settled. */
  get unsettled(): number {
    return this.#waiting.reduce((sum, waiting) => sum + waiting.batches.size, 0);
  }

  /** Bytes delivered that the fleet has not settled yet, those that are in no batch yet included. */
  get unsettledBytes(): number {
    let bytes = this.#tally.bytes;
    for (const { batches } of this.#waiting) for (const each of batches.values()) bytes += each;
    return bytes;
  }

  /** Takes note of bytes the kernel took. */
  record(delivery: Delivery): void {
    if (delivery.bytes === 0 && delivery.requests === 0) return;
    if (!this.#tally.add(delivery)) {
      if (!this.#lostWarned)
        this.#options.log.error('too many deliveries wait to be settled: some are not counted');
      this.#lostWarned = true;
      return;
    }
    if (!this.#files || this.#broken) return;
    this.#unwritten.add(delivery);
    if (this.#appendTimer) return;
    const since = performance.now() - this.#lastAppendAtMs;
    this.#appendTimer = setTimeout(() => void this.#append(), Math.max(0, APPEND_MS - since));
  }

  /** The folder can be written from now on, or (null) not any more. What lies there is taken up. */
  async useFolder(folder: string | null): Promise<void> {
    await this.#alone(async () => {
      await this.#closeSegment();
      this.#files = null;
      if (folder === null) return;
      const files = new DeliveryFiles(folder);
      await this.#takeUp(files);
      this.#files = files;
      await this.#persistWaiting();
    });
    await this.roll();
  }

  /** Cuts what was counted into batches. Returns when they are safe, as far as they can be. */
  async roll(): Promise<void> {
    await this.#alone(async () => {
      await this.#persistWaiting();
      const limit = this.#files ? this.#options.maxBatches : MOST_IN_MEMORY;
      if (this.#tally.size > 0 && this.unsettled < limit) await this.#closeSegment();
    });
    if (this.#waiting.some((waiting) => waiting.sendable)) this.#options.onReady();
  }

  /** The ids of what can be sent, oldest first. */
  sendable(limit: number): string[] {
    const ids: string[] = [];
    for (const waiting of this.#waiting) {
      if (!waiting.sendable) continue;
      for (const batchId of waiting.batches.keys()) {
        if (ids.length >= limit) return ids;
        ids.push(batchId);
      }
    }
    return ids;
  }

  /** A batch as it is to be sent; null when it has been settled, or cannot be read now. */
  async payloadOf(batchId: string): Promise<string | null> {
    const waiting = this.#waiting.find((entry) => entry.batches.has(batchId));
    if (!waiting?.sendable) return null;
    try {
      const batches = waiting.inMemory ?? (await this.#files?.readBatches(waiting.seq)) ?? [];
      return batches.find((batch) => batch.batchId === batchId)?.payload ?? null;
    } catch (error) {
      this.#options.onTrouble(error);
      return null;
    }
  }

  /**
   * The fleet has settled a batch, or refused it for good: it is forgotten.
   * @returns false when it was not known
   */
  async settled(batchId: string): Promise<boolean> {
    return this.#alone(async () => {
      const waiting = this.#waiting.find((entry) => entry.batches.has(batchId));
      if (!waiting) return false;
      waiting.batches.delete(batchId);
      if (waiting.batches.size > 0) return true;
      this.#waiting = this.#waiting.filter((entry) => entry !== waiting);
      // Should the file outlive this, the batch is sent again, and settled again for nothing.
      if (!waiting.inMemory) await this.#files?.removeBatches(waiting.seq);
      return true;
    });
  }

  /** Makes what was counted safe and lets go of the files. */
  async close(): Promise<void> {
    for (const timer of this.#timers) clearInterval(timer);
    await this.roll();
    await this.#alone(async () => this.#letGo());
  }

  /** Batches and segments a former run left. Where a segment's batches are there, the segment has served. */
  async #takeUp(files: DeliveryFiles): Promise<void> {
    const found = await files.list();
    this.#waiting = this.#waiting.filter((entry) => entry.inMemory !== null);
    const known = new Set(this.#waiting.filter((entry) => !entry.sendable).map((entry) => entry.seq));
    const served = new Set<number>();
    for (const seq of found.batches) {
      // Ours, written just before the disk went: the copy in memory is the same.
      if (known.has(seq)) continue;
      try {
        const batches = await files.readBatches(seq);
        served.add(seq);
        this.#waiting.push({ seq, batches: bytesById(batches), inMemory: null, sendable: true });
      } catch (error) {
        this.#options.log.warn({ seq, reason: messageOf(error) }, 'batches of deliveries cannot be read');
      }
    }
    for (const seq of found.segments) {
      if (known.has(seq)) continue;
      // One that cannot be read, or is no file at all, must not keep the others from being paid.
      await this.#takeUpSegment(files, seq, served.has(seq)).catch((error) =>
        this.#options.log.warn({ seq, reason: messageOf(error) }, 'counts of deliveries cannot be read'),
      );
    }
    const taken = [...found.batches, ...found.segments, ...known];
    this.#seq = Math.max(this.#seq, ...taken.map((seq) => seq + 1));
    // Numbers given while the disk was away may be in use on it.
    for (const entry of this.#waiting) if (entry.inMemory && entry.sendable) entry.seq = this.#seq++;
    this.#waiting.sort((a, b) => a.seq - b.seq);
  }

  /** Batches are sent only once their segment has gone, so where they cannot be read they were not sent. */
  async #takeUpSegment(files: DeliveryFiles, seq: number, served: boolean): Promise<void> {
    const lines = served ? [] : readSegment(await files.readSegment(seq)).lines();
    const batches = makeBatches(lines, this.#options.stamp());
    if (batches.length > 0) await files.writeBatches(seq, batches);
    await files.removeSegment(seq);
    if (batches.length === 0) return;
    this.#waiting.push({ seq, batches: bytesById(batches), inMemory: null, sendable: true });
  }

  /** Ends the open segment, making its batches; a new one begins. */
  async #closeSegment(): Promise<void> {
    await this.#write();
    // From here to the end of the swap nothing may wait: what is counted meanwhile belongs to the new segment.
    const seq = this.#seq++;
    const lines = this.#tally.lines();
    const handle = this.#handle;
    this.#handle = null;
    this.#segmentBytes = 0;
    this.#rewriteAtBytes = LONG_SEGMENT_BYTES;
    this.#tally = new Tally();
    this.#unwritten = new Tally();
    this.#broken = false;
    this.#lostWarned = false;
    await handle?.close().catch(() => undefined);
    const batches = makeBatches(lines, this.#options.stamp());
    if (batches.length === 0) return;
    // Nothing of it is on the disk: nothing can give it a second id, and it may be sent as it is.
    this.#waiting.push({ seq, batches: bytesById(batches), inMemory: batches, sendable: handle === null });
    await this.#persistWaiting();
  }

  /** Writes the batches that are in memory only. */
  async #persistWaiting(): Promise<void> {
    const files = this.#files;
    if (!files) return;
    for (const waiting of this.#waiting) {
      if (!waiting.inMemory) continue;
      try {
        await files.writeBatches(waiting.seq, waiting.inMemory);
        // Were it to outlive its settled batches, it would be counted again: first it goes, then they are sent.
        await files.removeSegment(waiting.seq);
        waiting.inMemory = null;
        waiting.sendable = true;
      } catch (error) {
        this.#options.onTrouble(error);
        return;
      }
    }
  }

  async #append(): Promise<void> {
    this.#appendTimer = null;
    await this.#alone(() => this.#write());
    this.#lastAppendAtMs = performance.now();
  }

  async #write(): Promise<void> {
    const files = this.#files;
    if (!files || this.#broken || this.#unwritten.size === 0) return;
    const text = segmentText(this.#unwritten.lines());
    this.#unwritten = new Tally();
    try {
      this.#handle ??= await files.createSegment(this.#seq);
      await this.#handle.appendFile(text);
      this.#dirty = true;
      this.#segmentBytes += Buffer.byteLength(text);
      if (this.#segmentBytes > this.#rewriteAtBytes) await this.#shorten(files);
    } catch (error) {
      this.#broken = true;
      this.#options.onTrouble(error);
    }
  }

  /** While batches are not settled the segment stays open, and repeats itself: it must not fill the disk. */
  async #shorten(files: DeliveryFiles): Promise<void> {
    const text = segmentText(this.#tally.lines());
    this.#unwritten = new Tally();
    const before = this.#handle;
    this.#handle = await files.rewriteSegment(this.#seq, text);
    await before?.close().catch(() => undefined);
    this.#segmentBytes = Buffer.byteLength(text);
    this.#rewriteAtBytes = Math.max(LONG_SEGMENT_BYTES, 2 * this.#segmentBytes);
  }

  async #sync(): Promise<void> {
    if (!this.#dirty) return;
    this.#dirty = false;
    await this.#alone(async () => {
      await this.#handle?.datasync().catch((error) => this.#options.onTrouble(error));
    });
  }

  async #letGo(): Promise<void> {
    if (this.#appendTimer) clearTimeout(this.#appendTimer);
    this.#appendTimer = null;
    const handle = this.#handle;
    this.#handle = null;
    await handle?.close().catch(() => undefined);
  }

  #alone<T>(work: () => Promise<T>): Promise<T> {
    const result = this.#turn.then(work);
    this.#turn = result.catch((error) => this.#options.onTrouble(error));
    return result;
  }
}

function bytesById(batches: readonly Batch[]): Map<string, number> {
  return new Map(batches.map((batch) => [batch.batchId, bytesOf(batch)]));
}
