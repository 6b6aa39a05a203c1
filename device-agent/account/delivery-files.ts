import type { FileHandle } from 'node:fs/promises';
import { open, readdir, rename, rm } from 'node:fs/promises';
import path from 'node:path';
import * as z from 'zod';
import { readText, removeDurably, writeFileDurably } from '#agent/durable/durable-file.ts';
import { deliveryBatchIdSchema } from '#protocol/ids.ts';
import type { Batch } from './batch.ts';

const fileSchema = z.object({
  v: z.literal(1),
  batches: z.array(z.object({ batchId: deliveryBatchIdSchema, payload: z.string() })),
});

/** No file of ours gets near this, bytes. */
const MOST_FILE_BYTES = 64 * 1024 * 1024;

const SEGMENT = /^segment-(\d{12})\.log$/;
const BATCHES = /^batches-(\d{12})\.json$/;

/**
 * The files of the account in one folder: segments, which counts are appended to, and the batches made of them.
 * Both carry the segment's number, so that a crash between writing the one and removing the other shows.
 */
export class DeliveryFiles {
  readonly #folder: string;

  constructor(folder: string) {
    this.#folder = folder;
  }

  #segment(seq: number): string {
    return path.join(this.#folder, `segment-${String(seq).padStart(12, '0')}.log`);
  }
  #batches(seq: number): string {
    return path.join(this.#folder, `batches-${String(seq).padStart(12, '0')}.json`);
  }

  /** What lies there, ascending. */
  async list(): Promise<{ segments: number[]; batches: number[] }> {
    const names = await readdir(this.#folder);
    const pick = (pattern: RegExp) =>
      names
        .map((name) => pattern.exec(name)?.[1])
        .filter((digits) => digits !== undefined)
        .map(Number)
        .sort((a, b) => a - b);
    return { segments: pick(SEGMENT), batches: pick(BATCHES) };
  }

  /** Opens a new segment; there must be none of that number. */
  async createSegment(seq: number): Promise<FileHandle> {
    return open(this.#segment(seq), 'ax', 0o600);
  }

  /** Puts a shorter text with the same sums in a segment's place, at once. The old one's handle is of no more use. */
  async rewriteSegment(seq: number, text: string): Promise<FileHandle> {
    const temporary = `${this.#segment(seq)}.tmp`;
    await rm(temporary, { force: true });
    const handle = await open(temporary, 'ax', 0o600);
    try {
      await handle.appendFile(text);
      await handle.datasync();
      await rename(temporary, this.#segment(seq));
      return handle;
    } catch (error) {
      await handle.close();
      throw error;
    }
  }

  async readSegment(seq: number): Promise<string> {
    return readText(this.#segment(seq), MOST_FILE_BYTES);
  }

  async removeSegment(seq: number): Promise<void> {
    await rm(this.#segment(seq), { force: true });
  }

  async writeBatches(seq: number, batches: Batch[]): Promise<void> {
    await writeFileDurably(this.#batches(seq), JSON.stringify({ v: 1, batches }));
  }

  async readBatches(seq: number): Promise<Batch[]> {
    return fileSchema.parse(JSON.parse(await readText(this.#batches(seq), MOST_FILE_BYTES))).batches;
  }

  async removeBatches(seq: number): Promise<void> {
    await removeDurably(this.#batches(seq));
  }
}
