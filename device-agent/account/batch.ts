import { newId } from '#protocol/ids.ts';
import { LIMITS } from '#protocol/limits.ts';
import type { Delivery } from '#protocol/messages.ts';
import { encodeUp, PROTOCOL_VERSION } from '#protocol/messages.ts';

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
