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
  readonly #cut: () => void;
  readonly #onEnd: (delivery: Delivery) => void;
  /** Where it stands among those under way; theirs to say. */
  place: number;
  #unsent: number;
  #untold = 0;
  #toldAtMs: number;
  /** When the client last took something, or was not the one that was waited for; monotonic ms. */
  #movedAtMs: number;

  constructor(
    parts: DeliveryParts,
    body: ObjectBody,
    cut: () => void,
    onEnd: (delivery: Delivery) => void,
    place: number,
  ) {
    this.#parts = parts;
    this.#body = body;
    this.#cut = cut;
    this.#onEnd = onEnd;
    this.place = place;
    this.#unsent = body.lengthBytes;
    this.#toldAtMs = parts.clock.monotonic();
    this.#movedAtMs = this.#toldAtMs;
    body.entitlement.takenBytes += body.lengthBytes;
    parts.meter.addRequest();
  }

  /** The kernel took so many bytes of the body. */
  add(bytes: number): void {
    const { meter, clock, onDelivered } = this.#parts;
    const now = clock.monotonic();
    meter.addBytes(bytes, now);
    this.#unsent -= bytes;
    this.#body.entitlement.sentBytes += bytes;
    this.#untold += bytes;
    this.#movedAtMs = now;
    if (now - this.#toldAtMs < TELL_MS) return;
    onDelivered(this.#body.entitlement, this.#body.assetId, this.#untold, 0);
    this.#untold = 0;
    this.#toldAtMs = now;
  }

  /** What was waited for was not the client: the household's line, the disk. */
  excuse(): void {
    this.#movedAtMs = this.#parts.clock.monotonic();
  }

  /** Cuts the connection of a client that has taken nothing for so long. */
  cutIfStuck(nowMs: number, longestMs: number): void {
    if (nowMs - this.#movedAtMs > longestMs) this.#cut();
  }

  /** The response has ended, in whichever way. */
  end(): void {
    this.#onEnd(this);
    this.#body.entitlement.takenBytes -= this.#unsent;
    this.#parts.onDelivered(this.#body.entitlement, this.#body.assetId, this.#untold, 1);
  }
}

/**
 * The responses under way. A client that takes its bytes one by one keeps a connection alive for ever as far as
 * timers on the socket can tell ("slow read"): here each piece must be taken within a bound.
 */
export class Deliveries {
  readonly #parts: DeliveryParts;
  /** Each knows its place: a set would grow and shrink with every small response, and leave a table behind. */
  readonly #open: Delivery[] = [];
  readonly #timer: NodeJS.Timeout;
  readonly #forget = ({ place }: Delivery): void => {
    const last = this.#open.pop();
    // The last one takes the place that is left.
    if (last === undefined || last.place === place) return;
    this.#open[place] = last;
    last.place = place;
  };

  /** @param pieceMs longest time for a client to take a piece, ms */
  constructor(parts: DeliveryParts, pieceMs: number) {
    this.#parts = parts;
    this.#timer = setInterval(
      () => {
        const now = parts.clock.monotonic();
        // From the end: who is cut may leave at once, and the last one then takes that place.
        for (let at = this.#open.length - 1; at >= 0; at--) this.#open[at]?.cutIfStuck(now, pieceMs);
      },
      Math.min(5_000, pieceMs / 2),
    );
    this.#timer.unref();
  }

  /** A response with a body begins. @param cut breaks its connection off, or its stream of several */
  begin(body: ObjectBody, cut: () => void): Delivery {
    const delivery = new Delivery(this.#parts, body, cut, this.#forget, this.#open.length);
    this.#open.push(delivery);
    return delivery;
  }

  close(): void {
    clearInterval(this.#timer);
  }
}
