import { randomBytes, timingSafeEqual } from 'node:crypto';
import { sql } from 'drizzle-orm';
import type { Logger } from 'pino';
import type { Database } from '#fleet/database/database.ts';
import { notify } from '#fleet/database/listen.ts';
import { hashSecret } from '#fleet/operators/operators.ts';
import { awayKeyHash } from '#protocol/ids.ts';
import { LIMITS } from '#protocol/limits.ts';

/** A session ends so long after its last request, and so long after it began, ms. */
export const IDLE_MS = 3_600_000;
export const LONGEST_MS = 12 * 3_600_000;
/** What makes a row of `away_sessions`, joined with its box, a live session. */
export const LIVE = sql`ended_at IS NULL AND revoked_at IS NULL
  AND away_sessions.seen_at > now() - ${IDLE_MS} * interval '1 millisecond'
  AND away_sessions.created_at > now() - ${LONGEST_MS} * interval '1 millisecond'
  AND key_sha256 = heartbeat #>> '{away,keySha256}'`;
/** What is known of a session is asked for again after this long: how late an end is heard of at most, ms. */
const KNOWN_MS = 5_000;
const MOST_KNOWN = 10_000;
/** Sessions of one box that are recorded, those that are over among them. */
const MOST_RECORDED = 200;
/** Its last use is written this often at most, ms. */
const SEEN_EVERY_MS = 60_000;

/**
 * Who may look at a box's dashboard from away: who has shown the key that its household made. A session is good for
 * this box alone, and ends with the key, with the box, and by itself.
 */
export class AwaySessions {
  readonly #db: Database;
  readonly #log: Logger;
  readonly #known = new Map<string, { live: Promise<boolean>; atMs: number }>();

  constructor(db: Database, log: Logger) {
    this.#db = db;
    this.#log = log;
  }

  /**
   * Begins a session.
   * @param typed the key, as a person typed it
   * @returns the cookie's value; null when the key is wrong, the box has it switched off, or there is no such box
   */
  async begin(boxId: string, typed: string, client: string): Promise<string | null> {
    const given = awayKeyHash(typed);
    const { rows } = await this.#db.execute<{ key: string | null }>(
      sql`SELECT heartbeat #>> '{away,keySha256}' AS key FROM boxes WHERE id = ${boxId} AND revoked_at IS NULL`,
    );
    const key = rows[0]?.key ?? '';
    if (key.length !== given.length || !timingSafeEqual(Buffer.from(key), Buffer.from(given))) {
      this.#log.warn({ boxId, client }, 'a key to a dashboard was refused');
      return null;
    }
    const secret = randomBytes(32).toString('base64url');
    await this.#db.execute(sql`
      INSERT INTO away_sessions (secret_hash, box_id, key_sha256, client)
      VALUES (${hashSecret(secret)}, ${boxId}, ${key}, ${client})`);
    await this.#db.execute(sql`
      UPDATE away_sessions SET ended_at = now() WHERE box_id = ${boxId} AND ended_at IS NULL AND id NOT IN (
        SELECT id FROM away_sessions WHERE box_id = ${boxId} AND ended_at IS NULL
        ORDER BY created_at DESC, id LIMIT ${LIMITS.awaySessions})`);
    // Whoever has the key may come in again and again: the record of one box does not grow for ever.
    await this.#db.execute(sql`
      DELETE FROM away_sessions WHERE box_id = ${boxId} AND ended_at IS NOT NULL AND created_at < (
        SELECT created_at FROM away_sessions WHERE box_id = ${boxId}
        ORDER BY created_at DESC OFFSET ${MOST_RECORDED - 1} LIMIT 1)`);
    await notify(this.#db, 'boxes', boxId);
    this.#log.info({ boxId, client }, 'somebody came in to a dashboard from away');
    return secret;
  }

  /** Whether it is a live session of that box. @throws when the database is away */
  isLive(boxId: string, secret: string): Promise<boolean> {
    const id = `${boxId} ${secret}`;
    const found = this.#known.get(id);
    if (found && performance.now() - found.atMs < KNOWN_MS) return found.live;
    const live = this.#look(boxId, secret);
    this.#known.delete(id);
    this.#known.set(id, { live, atMs: performance.now() });
    live.catch(() => this.#known.delete(id));
    if (this.#known.size > MOST_KNOWN) this.#known.delete(this.#known.keys().next().value as string);
    return live;
  }

  async end(boxId: string, secret: string): Promise<void> {
    this.#known.delete(`${boxId} ${secret}`);
    await this.#db.execute(sql`
      UPDATE away_sessions SET ended_at = now()
      WHERE secret_hash = ${hashSecret(secret)} AND box_id = ${boxId} AND ended_at IS NULL`);
    await notify(this.#db, 'boxes', boxId);
    this.#log.info({ boxId }, 'somebody left a dashboard');
  }

  async #look(boxId: string, secret: string): Promise<boolean> {
    const { rows } = await this.#db.execute<{ stale: boolean }>(sql`
      SELECT away_sessions.seen_at < now() - ${SEEN_EVERY_MS} * interval '1 millisecond' AS stale
      FROM away_sessions JOIN boxes ON boxes.id = box_id
      WHERE secret_hash = ${hashSecret(secret)} AND box_id = ${boxId} AND ${LIVE}`);
    const [row] = rows;
    if (row?.stale) {
      await this.#db.execute(
        sql`UPDATE away_sessions SET seen_at = now() WHERE secret_hash = ${hashSecret(secret)}`,
      );
    }
    return row !== undefined;
  }
}
