import { sql } from 'drizzle-orm';
import type { Logger } from 'pino';
import type { Database } from '#fleet/database/database.ts';
import { messageOf } from '#protocol/errors.ts';

interface Count {
  bytes: number;
  requests: number;
}

/**
 * What this relay carried for each box, by the hour: the fleet's own witness of what a box says it delivered. Kept in
 * memory for a moment and added to the database in one statement.
 */
export class RelayCounts {
  readonly #db: Database;
  readonly #relayId: string;
  readonly #log: Logger;
  readonly #timer: NodeJS.Timeout;
  #counts = new Map<string, Count>();
  #tail: Promise<void> = Promise.resolve();

  constructor(db: Database, relayId: string, log: Logger, saveEveryMs = 2_000) {
    this.#db = db;
    this.#relayId = relayId;
    this.#log = log;
    this.#timer = setInterval(() => void this.save(), saveEveryMs);
  }

  bytes(boxId: string, bytes: number): void {
    this.#of(boxId).bytes += bytes;
  }

  request(boxId: string): void {
    this.#of(boxId).requests++;
  }

  /** Adds what has been counted to the database; what cannot be added now is kept for the next time. */
  save(): Promise<void> {
    this.#tail = this.#tail.then(() => this.#save());
    return this.#tail;
  }

  async close(): Promise<void> {
    clearInterval(this.#timer);
    await this.save();
  }

  #of(boxId: string): Count {
    let count = this.#counts.get(boxId);
    if (!count) {
      count = { bytes: 0, requests: 0 };
      this.#counts.set(boxId, count);
    }
    return count;
  }

  async #save(): Promise<void> {
    const counts = this.#counts;
    if (counts.size === 0) return;
    this.#counts = new Map();
    const rows = JSON.stringify([...counts].map(([boxId, count]) => ({ boxId, ...count })));
    try {
      await this.#db.execute(sql`
        INSERT INTO relay_counts (relay_id, box_id, hour, bytes, requests)
        SELECT ${this.#relayId}, r ->> 'boxId', date_trunc('hour', now()), (r ->> 'bytes')::bigint, (r ->> 'requests')::bigint
        FROM jsonb_array_elements(${rows}::jsonb) AS r
        JOIN boxes ON boxes.id = r ->> 'boxId'
        ON CONFLICT (relay_id, box_id, hour) DO UPDATE
        SET bytes = relay_counts.bytes + excluded.bytes, requests = relay_counts.requests + excluded.requests`);
    } catch (error) {
      this.#log.warn({ err: messageOf(error) }, 'cannot record what was relayed; it is tried again');
      for (const [boxId, { bytes, requests }] of counts) {
        const count = this.#of(boxId);
        count.bytes += bytes;
        count.requests += requests;
      }
    }
  }
}
