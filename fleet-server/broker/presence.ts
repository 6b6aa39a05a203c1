import { eq, sql } from 'drizzle-orm';
import type { Logger } from 'pino';
import type { Database } from '#fleet/database/database.ts';
import { notify } from '#fleet/database/listen.ts';
import { boxes } from '#fleet/database/schema.ts';
import { messageOf } from '#protocol/errors.ts';
import type { DiskState, Heartbeat } from '#protocol/messages.ts';

/**
 * Who is connected to this broker, and their last heartbeats. Heartbeats stay in memory here and reach the
 * database in one statement a second, however many boxes there are.
 */
export class Presence {
  readonly #db: Database;
  readonly #brokerUrl: string;
  readonly #log: Logger;
  readonly #connected = new Set<string>();
  readonly #unsaved = new Map<string, { heartbeat: Heartbeat; at: Date }>();
  /** Who has left, while that is not written yet. */
  readonly #left = new Set<string>();
  readonly #refusals = new Map<string, number>();
  /** The disk state each connected box last told of. */
  readonly #disks = new Map<string, DiskState>();
  readonly #timer: NodeJS.Timeout;
  /** Writes follow one another, so that a late "offline" never overtakes the "online" after it. */
  #tail: Promise<unknown> = Promise.resolve();

  constructor(db: Database, brokerUrl: string, log: Logger, saveEveryMs = 1000) {
    this.#db = db;
    this.#brokerUrl = brokerUrl;
    this.#log = log;
    this.#timer = setInterval(() => void this.#inOrder(() => this.#save()), saveEveryMs);
  }

  /** At start: nobody can be connected to a broker that has just begun. */
  async reset(): Promise<void> {
    await this.#db.update(boxes).set({ online: false }).where(eq(boxes.brokerUrl, this.#brokerUrl));
    await notify(this.#db, 'boxes');
  }

  async online(
    boxId: string,
    hello: { bootId: string; agentVersion: string; observedAddress?: string | null },
  ): Promise<void> {
    this.#connected.add(boxId);
    this.#left.delete(boxId);
    await this.#inOrder(async () => {
      await this.#db
        .update(boxes)
        .set({ online: true, brokerUrl: this.#brokerUrl, lastSeenAt: new Date(), ...hello })
        .where(eq(boxes.id, boxId));
      await notify(this.#db, 'boxes', boxId);
    });
  }

  async offline(boxId: string): Promise<void> {
    this.#connected.delete(boxId);
    this.#unsaved.delete(boxId);
    this.#disks.delete(boxId);
    this.#left.add(boxId);
    await this.#inOrder(() => this.#saveLeft(boxId));
  }

  heartbeat(boxId: string, heartbeat: Heartbeat): void {
    this.#unsaved.set(boxId, { heartbeat, at: new Date() });
  }

  refused(boxId: string): void {
    this.#refusals.set(boxId, (this.#refusals.get(boxId) ?? 0) + 1);
  }

  async close(): Promise<void> {
    clearInterval(this.#timer);
    await this.#inOrder(() => this.#save());
    await this.#inOrder(() => this.reset()).catch(() => undefined);
  }

  #inOrder<T>(work: () => Promise<T>): Promise<T> {
    const done = this.#tail.then(work);
    this.#tail = done.catch(() => undefined);
    return done;
  }

  async #saveLeft(boxId: string): Promise<void> {
    if (!this.#left.has(boxId)) return;
    // A box that has moved to another broker meanwhile is that one's to speak of.
    await this.#db
      .update(boxes)
      .set({ online: false })
      .where(sql`${boxes.id} = ${boxId} AND ${boxes.brokerUrl} = ${this.#brokerUrl}`);
    await notify(this.#db, 'boxes', boxId);
    this.#left.delete(boxId);
  }

  async #save(): Promise<void> {
    // Who sends heartbeats is online, even if the write that said so was lost with the database.
    const beats = [...this.#unsaved].filter(([boxId]) => this.#connected.has(boxId));
    const refusals = [...this.#refusals];
    this.#unsaved.clear();
    this.#refusals.clear();
    try {
      for (const boxId of this.#left) await this.#saveLeft(boxId);
      if (beats.length > 0) {
        const changed = new Map(
          beats.filter(([id, { heartbeat }]) => this.#disks.get(id) !== heartbeat.store.state),
        );
        const rows = JSON.stringify(
          beats.map(([id, { heartbeat, at }]) => ({
            id,
            heartbeat,
            at,
            disk_changed: changed.has(id),
          })),
        );
        await this.#db.execute(sql`
          UPDATE boxes SET heartbeat = new.heartbeat, last_seen_at = new.at, online = boxes.revoked_at IS NULL,
            disk_changed_at = CASE WHEN new.disk_changed THEN new.at ELSE boxes.disk_changed_at END
          FROM jsonb_to_recordset(${rows}::jsonb)
            AS new (id text, heartbeat jsonb, at timestamptz, disk_changed boolean)
          WHERE boxes.id = new.id`);
        for (const [boxId, { heartbeat }] of changed) {
          await notify(this.#db, 'desired', boxId);
          this.#disks.set(boxId, heartbeat.store.state);
        }
      }
      if (refusals.length > 0) {
        const rows = JSON.stringify(refusals.map(([id, count]) => ({ id, count })));
        await this.#db.execute(sql`
          UPDATE boxes SET refused_messages = refused_messages + new.count
          FROM jsonb_to_recordset(${rows}::jsonb) AS new (id text, count integer) WHERE boxes.id = new.id`);
      }
    } catch (error) {
      this.#log.warn(
        { err: messageOf(error) },
        'cannot save heartbeats; they are tried again with the next ones',
      );
      for (const [id, beat] of beats) if (!this.#unsaved.has(id)) this.#unsaved.set(id, beat);
      for (const [id, count] of refusals) this.#refusals.set(id, (this.#refusals.get(id) ?? 0) + count);
    }
  }
}
