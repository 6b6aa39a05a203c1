import { sql } from 'drizzle-orm';
import type { Logger } from 'pino';
import type { Counter } from 'prom-client';
import type { Database } from '#fleet/database/database.ts';
import { messageOf } from '#protocol/errors.ts';

/** Where a request was sent. */
export type RedirectTarget = 'box' | 'origin' | 'refused';

/**
 * Counts what a router answers: at once for its own metrics, and every few seconds added to the fleet's counts in
 * the database, which the consoles read whatever process they talk to. A router that is killed loses the last
 * few seconds of a statistic, and nothing else.
 */
export class RedirectCounts {
  readonly #db: Database;
  readonly #metric: Counter<'target'>;
  readonly #log: Logger;
  readonly #timer: NodeJS.Timeout;
  #unsaved = { box: 0, origin: 0 };
  #saving: Promise<void> = Promise.resolve();

  constructor(db: Database, metric: Counter<'target'>, log: Logger, saveEveryMs = 2000) {
    this.#db = db;
    this.#metric = metric;
    this.#log = log;
    this.#timer = setInterval(() => this.#save(), saveEveryMs);
  }

  add(target: RedirectTarget): void {
    this.#metric.inc({ target });
    if (target !== 'refused') this.#unsaved[target]++;
  }

  async close(): Promise<void> {
    clearInterval(this.#timer);
    this.#save();
    await this.#saving;
  }

  #save(): void {
    this.#saving = this.#saving.then(async () => {
      const { box, origin } = this.#unsaved;
      if (box + origin === 0) return;
      this.#unsaved = { box: 0, origin: 0 };
      try {
        await this.#db.execute(sql`
          INSERT INTO redirect_counts AS c (day, target, count)
          SELECT (now() AT TIME ZONE 'UTC')::date, * FROM (VALUES ('box', ${box}::bigint), ('origin', ${origin}::bigint)) AS v
          ON CONFLICT (day, target) DO UPDATE SET count = c.count + excluded.count`);
      } catch (error) {
        this.#unsaved.box += box;
        this.#unsaved.origin += origin;
        this.#log.debug({ err: messageOf(error) }, 'cannot save redirect counts now');
      }
    });
  }
}
