import type { Clock } from '#agent/time/clock.ts';
import type { ServingMeter } from './meter.ts';
import type { ObjectBody } from './reply.ts';
import type { OpenEntitlement } from './token-gate.ts';

export interface DeliveryParts {
  meter: ServingMeter;
  clock: Clock;
  /** Bytes the kernel took for one response; `requests` is 1 with the last of them. */
  onDelivered: (entitlement: OpenEntitlement, assetId: string, bytes: number, requests: number) => void;
}

/** Delivered bytes are told at the latest after this long, ms. */
const TELL_MS = 1_000;

/**
 * Counts what one response delivers, and tells it every second and at its end. All it will send is taken from
 * the entitlement at once, so that many responses side by side cannot use it many times over; what is not
 * delivered in the end is given back.
 */
export class Delivery {
  readonly #parts: DeliveryParts;
  readonly #body: ObjectBody;
  #unsent: number;
  #untold = 0;
  #toldAtMs: number;

  constructor(parts: DeliveryParts, body: ObjectBody) {
    this.#parts = parts;
    this.#body = body;
    this.#unsent = body.lengthBytes;
    this.#toldAtMs = parts.clock.monotonic();
    body.entitlement.takenBytes += body.lengthBytes;
    parts.meter.addRequest();
  }

  /** The kernel took so many bytes of the body. */
  add(bytes: number): void {
    const { meter, clock, onDelivered } = this.#parts;
    meter.addBytes(bytes);
    this.#unsent -= bytes;
    this.#untold += bytes;
    const now = clock.monotonic();
    if (now - this.#toldAtMs < TELL_MS) return;
    onDelivered(this.#body.entitlement, this.#body.assetId, this.#untold, 0);
    this.#untold = 0;
    this.#toldAtMs = now;
  }

  /** The response has ended, in whichever way. */
  end(): void {
    this.#body.entitlement.takenBytes -= this.#unsent;
    this.#parts.onDelivered(this.#body.entitlement, this.#body.assetId, this.#untold, 1);
  }
}
