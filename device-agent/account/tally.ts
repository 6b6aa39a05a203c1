import * as z from 'zod';
import type { Delivery } from '#protocol/messages.ts';
import { deliverySchema } from '#protocol/messages.ts';

/** Different (token, asset) pairs counted at once. */
const MOST_LINES = 5_000;

/** Sums of deliveries by token and asset, bounded. */
export class Tally {
  /** By token and asset. One text for both would have to be made, and hashed, for each answer to a client. */
  readonly #lines = new Map<string, Map<string, Delivery>>();
  #size = 0;
  #bytes = 0;

  get size(): number {
    return this.#size;
  }

  /** All bytes counted. */
  get bytes(): number {
    return this.#bytes;
  }

  /** @returns false when it is full and this could not be counted */
  add(delivery: Delivery): boolean {
    let ofToken = this.#lines.get(delivery.token);
    const line = ofToken?.get(delivery.assetId);
    if (line) {
      line.bytes += delivery.bytes;
      line.requests += delivery.requests;
      this.#bytes += delivery.bytes;
      return true;
    }
    if (this.#size >= MOST_LINES) return false;
    if (!ofToken) {
      ofToken = new Map();
      this.#lines.set(delivery.token, ofToken);
    }
    ofToken.set(delivery.assetId, { ...delivery });
    this.#size++;
    this.#bytes += delivery.bytes;
    return true;
  }

  lines(): Delivery[] {
    return Array.from(this.#lines.values(), (ofToken) => [...ofToken.values()]).flat();
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
