import { sql } from 'drizzle-orm';
import type { Logger } from 'pino';
import type { Database } from '#fleet/database/database.ts';
import { notify, notifyEach } from '#fleet/database/listen.ts';
import { messageOf } from '#protocol/errors.ts';

const SAY_SO_MS = 1_000;

interface RegisterParts {
  db: Database;
  row: {
    id: string;
    tunnelUrl: string;
    publicUrl: string;
    addresses: string[];
    dashboardUrl: string | null;
    /** Of its own name in the fleet's zone; null: it has none there. */
    nameLabel: string | null;
  };
  isHere: (boxId: string) => boolean;
  log: Logger;
}

/** What the fleet knows of this relay: that it is there, and which boxes it holds. */
export class RelayRegister {
  readonly #db: Database;
  #row: RegisterParts['row'];
  readonly #isHere: (boxId: string) => boolean;
  readonly #log: Logger;
  readonly #timer: NodeJS.Timeout;
  #draining = false;
  /** Boxes that came or went since the last write. */
  readonly #changed = new Set<string>();
  /** A write has been put in line and has not begun: what changes now goes with it. */
  #isQueued = false;
  #tail: Promise<void> = Promise.resolve();

  private constructor(parts: RegisterParts) {
    this.#db = parts.db;
    this.#row = parts.row;
    this.#isHere = parts.isHere;
    this.#log = parts.log;
    this.#timer = setInterval(() => void this.#inOrder(), SAY_SO_MS);
  }

  static async start(parts: RegisterParts): Promise<RelayRegister> {
    const register = new RelayRegister(parts);
    await register.#sayHello();
    return register;
  }

  /** A box came or went: written at once. */
  changed(boxId: string): void {
    this.#changed.add(boxId);
    void this.#inOrder();
  }

  /** It carries dashboards from now on, under this address. */
  carriesDashboards(dashboardUrl: string): void {
    if (this.#row.dashboardUrl === dashboardUrl) return;
    this.#row = { ...this.#row, dashboardUrl };
    void this.#inOrder();
  }

  /** From now on no box is sent here and no client. */
  async drain(): Promise<void> {
    this.#draining = true;
    await this.#inOrder();
    await notify(this.#db, 'boxes').catch(() => undefined);
  }

  async close(): Promise<void> {
    clearInterval(this.#timer);
    await this.#tail;
    await this.#db.execute(sql`DELETE FROM relays WHERE id = ${this.#row.id}`).catch(() => undefined);
    await notify(this.#db, 'boxes').catch(() => undefined);
  }

  #inOrder(): Promise<void> {
    if (this.#isQueued) return this.#tail;
    this.#isQueued = true;
    this.#tail = this.#tail
      .then(() => {
        this.#isQueued = false;
        return this.#save();
      })
      .catch((error: unknown) => {
        this.#log.warn({ err: messageOf(error) }, 'cannot tell the fleet of this relay; it is tried again');
      });
    return this.#tail;
  }

  /** Nobody can be connected to a relay that has just begun. */
  async #sayHello(): Promise<void> {
    const { id, tunnelUrl, publicUrl, addresses, dashboardUrl, nameLabel } = this.#row;
    await this.#db.transaction(async (tx) => {
      await tx.execute(sql`DELETE FROM relays WHERE id = ${id} OR seen_at < now() - interval '1 day'`);
      await tx.execute(
        sql`INSERT INTO relays (id, tunnel_url, public_url, addresses, dashboard_url, name_label)
          VALUES (${id}, ${tunnelUrl}, ${publicUrl}, ${sql.param(addresses)}::text[], ${dashboardUrl}, ${nameLabel})`,
      );
    });
    await notify(this.#db, 'boxes');
  }

  async #save(): Promise<void> {
    const { id, tunnelUrl, publicUrl, addresses, dashboardUrl, nameLabel } = this.#row;
    const changed = [...this.#changed];
    this.#changed.clear();
    try {
      // The row may have been taken for a dead one's while the database was away.
      await this.#db.execute(sql`
        INSERT INTO relays (id, tunnel_url, public_url, addresses, dashboard_url, name_label, draining)
        VALUES (${id}, ${tunnelUrl}, ${publicUrl}, ${sql.param(addresses)}::text[], ${dashboardUrl}, ${nameLabel},
          ${this.#draining})
        ON CONFLICT (id) DO UPDATE SET seen_at = now(), draining = excluded.draining,
          dashboard_url = excluded.dashboard_url`);
      if (changed.length === 0) return;
      const came = changed.filter((boxId) => this.#isHere(boxId));
      const went = changed.filter((boxId) => !this.#isHere(boxId));
      await this.#db.execute(sql`
        INSERT INTO relay_tunnels (relay_id, box_id)
        SELECT ${id}, boxes.id FROM boxes WHERE boxes.id = ANY(${sql.param(came)}::text[])
        ON CONFLICT (relay_id, box_id) DO UPDATE SET since = now(), secure = false`);
      await this.#db.execute(
        sql`DELETE FROM relay_tunnels WHERE relay_id = ${id} AND box_id = ANY(${sql.param(went)}::text[])`,
      );
      await notifyEach(this.#db, 'boxes', changed);
    } catch (error) {
      for (const boxId of changed) this.#changed.add(boxId);
      throw error;
    }
  }

  /** The box was met over TLS through its tunnel here. @throws when the database is away */
  async met(boxId: string): Promise<void> {
    const { rowCount } = await this.#db.execute(
      sql`UPDATE relay_tunnels SET secure = true
        WHERE relay_id = ${this.#row.id} AND box_id = ${boxId} AND NOT secure`,
    );
    if ((rowCount ?? 0) > 0) await notify(this.#db, 'boxes', boxId);
  }
}
