import { createHmac, timingSafeEqual } from 'node:crypto';

/**
 * The dial-back: the fleet asks `GET <content URL>/_hearth/health?nonce=<nonce>` and the box answers
 * `{ boxId, nonce, proof }`. The proof binds the nonce to the key that only this box and its fleet share, so that nobody
 * in between, and nobody else at that address, can answer for the box.
 * @param deliveryKey the box's delivery key, 32 bytes
 * @returns base64url, 43 characters
 */
export function dialProof(deliveryKey: Uint8Array, boxId: string, nonce: string): string {
  return createHmac('sha256', deliveryKey).update(`hearth dial-back\0${boxId}\0${nonce}`).digest('base64url');
}

/** Compares in constant time. */
export function isDialProof(given: string, deliveryKey: Uint8Array, boxId: string, nonce: string): boolean {
  const expected = Buffer.from(dialProof(deliveryKey, boxId, nonce));
  const actual = Buffer.from(given);
  return actual.length === expected.length && timingSafeEqual(actual, expected);
}
