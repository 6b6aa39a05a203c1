import * as z from 'zod';
import type { Delivery } from '#protocol/messages.ts';
import { deliverySchema } from '#protocol/messages.ts';

/** Different (token, asset) pairs counted at once. */
const MOST_LINES = 5_000;

/** Sums of deliveries by token and asset, bounded. */
export class Tally {
  readonly #lines = new Map<string, Delivery>();

  get size(): number {
    return this.#lines.size;
  }

  /** @returns false when it is full and this could not be counted */
  add(delivery: Delivery): boolean {
    const key = `${delivery.token} ${delivery.assetId}`;
    const line = this.#lines.get(key);
    if (line) {
      line.bytes += delivery.bytes;
      line.requests += delivery.requests;
      return true;
    }
    if (this.#lines.size >= MOST_LINES) return false;
    this.#lines.set(key, { ...delivery });
    return true;
  }

  lines(): Delivery[] {
    return [...this.#lines.values()];
  }
}

/** Lines as they are appended to a segment. */
export function segmentText(lines: readonly Delivery[]): string {
  return lines.map((line) => `${JSON.stringify(line)}\n`).join('');
}

const lineSchema = z.preprocess((text) => {
  try {
    return JSON.parse(text as string);
  } catch {
    return null;
  }
}, deliverySchema);

/** Reads a segment back; a line cut off by a crash, or damaged, does not count. */
export function readSegment(text: string): Tally {
  const tally = new Tally();
  for (const line of text.slice(0, text.lastIndexOf('\n') + 1).split('\n')) {
    const read = lineSchema.safeParse(line);
    if (read.success) tally.add(read.data);
  }
  return tally;
}
