import type { FileHandle } from 'node:fs/promises';
import { open, readdir, readFile, rm } from 'node:fs/promises';
import path from 'node:path';
import * as z from 'zod';
import { removeDurably, writeFileDurably } from '#agent/durable/durable-file.ts';
import { deliveryBatchIdSchema } from '#protocol/ids.ts';
import type { Batch } from './batch.ts';

const fileSchema = z.object({
  v: z.literal(1),
  batches: z.array(z.object({ batchId: deliveryBatchIdSchema, payload: z.string() })),
});

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

  async readSegment(seq: number): Promise<string> {
    return readFile(this.#segment(seq), 'utf8');
  }

  async removeSegment(seq: number): Promise<void> {
    await rm(this.#segment(seq), { force: true });
  }

  async writeBatches(seq: number, batches: Batch[]): Promise<void> {
    await writeFileDurably(this.#batches(seq), JSON.stringify({ v: 1, batches }));
  }

  async readBatches(seq: number): Promise<Batch[]> {
    return fileSchema.parse(JSON.parse(await readFile(this.#batches(seq), 'utf8'))).batches;
  }

  async removeBatches(seq: number): Promise<void> {
    await removeDurably(this.#batches(seq));
  }
}
