import type { Shaper } from '#shaping/shaper.ts';
import type { Admitted } from '../connections.ts';
import type { DeliveryParts } from '../delivery.ts';
import type { ObjectBody } from '../reply.ts';

/** A connection that a worker has. */
export interface Connection {
  readonly id: number;
  readonly admitted: Admitted;
  /** Bytes granted to it that were neither told nor given back: what it may have sent unbeknown to us. */
  grantedBytes: number;
  jobs: number;
}

/** A response that a worker was told to give. */
interface Job {
  readonly connection: Connection;
  readonly body: ObjectBody;
  unsentBytes: number;
  isBegun: boolean;
}

export interface JobsParts extends Omit<DeliveryParts, 'clock'> {
  up: Pick<Shaper, 'ask'>;
}

/** What is granted with the decision, bytes: a worker need not ask again for what fits in one slice. */
const FIRST_GRANT_BYTES = 256 * 1024;

/**
 * The books of one worker: what was promised to its clients is taken from their tokens at once, and what it says it
 * has delivered is counted, or given back.
 */
export class Jobs {
  readonly #parts: JobsParts;
  readonly #open = new Map<number, Job>();

  constructor(parts: JobsParts) {
    this.#parts = parts;
  }

  /** A body was decided. @returns bytes of it that may be sent at once */
  begin(id: number, connection: Connection, body: ObjectBody): number {
    const { lengthBytes, entitlement } = body;
    this.#parts.meter.addRequest();
    if (lengthBytes === 0) return 0;
    entitlement.takenBytes += lengthBytes;
    connection.jobs++;
    this.#open.set(id, { connection, body, unsentBytes: lengthBytes, isBegun: false });
    this.#parts.meter.responses++;
    const { flow } = connection.admitted.visitor.client;
    const grant = this.#parts.up.ask(flow, Math.min(lengthBytes, FIRST_GRANT_BYTES), () => undefined);
    if (typeof grant !== 'number') {
      // Where it has to wait, it asks when it is ready to send.
      grant();
      return 0;
    }
    connection.grantedBytes += grant;
    return grant;
  }

  /** So many bytes were delivered; `requests`: 1 with the last of them. */
  told(id: number, bytes: number, requests: number): void {
    const job = this.#open.get(id);
    if (!job) return;
    const { body, connection } = job;
    job.isBegun = true;
    job.unsentBytes -= bytes;
    connection.grantedBytes -= bytes;
    body.entitlement.sentBytes += bytes;
    if (requests > 0) this.#close(id, job);
    this.#parts.onDelivered(body.entitlement, body.assetId, bytes, requests);
  }

  /** Nothing of it was or will be sent. @returns what was to be sent, and to whom */
  forgo(id: number): { body: ObjectBody; connection: Connection } | null {
    const job = this.#open.get(id);
    if (!job) return null;
    this.#close(id, job);
    return job;
  }

  /**
   * The worker has died. What it may have sent and not told stays taken from the tokens, so that nobody gets it twice,
   * and from the household's line; it is claimed from nobody.
   */
  lose(): void {
    for (const [id, job] of this.#open) {
      const { body, connection } = job;
      const unknown = Math.max(0, Math.min(job.unsentBytes, connection.grantedBytes));
      connection.grantedBytes -= unknown;
      job.unsentBytes -= unknown;
      body.entitlement.sentBytes += unknown;
      this.#close(id, job);
      if (job.isBegun) this.#parts.onDelivered(body.entitlement, body.assetId, 0, 1);
    }
  }

  #close(id: number, { body, unsentBytes, connection }: Job): void {
    this.#open.delete(id);
    body.entitlement.takenBytes -= unsentBytes;
    // What it was granted and has not sent it gives back.
    if (--connection.jobs === 0) connection.grantedBytes = 0;
    this.#parts.meter.responses--;
  }
}
