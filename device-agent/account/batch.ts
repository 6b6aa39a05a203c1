import { newId } from '#protocol/ids.ts';
import { LIMITS } from '#protocol/limits.ts';
import type { Delivery } from '#protocol/messages.ts';
import { encodeUp, PROTOCOL_VERSION, parseUp } from '#protocol/messages.ts';

/** A batch as it is sent, again and again, until it is settled. */
export interface Batch {
  batchId: string;
  /** The message, byte for byte. */
  payload: string;
}

/** Leaves room for the envelope. */
const MOST_LINE_BYTES = LIMITS.mqttPayloadBytes - 4096;

/** Cuts lines into batches that keep to the protocol's limits. */
export function makeBatches(lines: readonly Delivery[], stamp: string): Batch[] {
  const batches: Batch[] = [];
  let taken: Delivery[] = [];
  let bytes = 0;
  const close = () => {
    if (taken.length === 0) return;
    const batchId = newId('dlv');
    const message = { v: PROTOCOL_VERSION, at: stamp, batchId, lines: taken } as const;
    batches.push({ batchId, payload: encodeUp('deliveries', message).toString('utf8') });
    taken = [];
    bytes = 0;
  };
  for (const line of lines) {
    const size = Buffer.byteLength(JSON.stringify(line)) + 1;
    if (taken.length === LIMITS.deliveriesPerBatch || bytes + size > MOST_LINE_BYTES) close();
    taken.push(line);
    bytes += size;
  }
  close();
  return batches;
}

/** The bytes a batch tells of; 0 when it cannot be read, as a damaged disk may have left it. */
export function bytesOf(batch: Batch): number {
  try {
    return parseUp('deliveries', Buffer.from(batch.payload)).lines.reduce((sum, { bytes }) => sum + bytes, 0);
  } catch {
    return 0;
  }
}
