import { sql } from 'drizzle-orm';
import { fromDrizzle, PgBoss } from 'pg-boss';
import type { Logger } from 'pino';
import { ingestAsset } from '#fleet/assets/assets.ts';
import type { Database, Transaction } from '#fleet/database/database.ts';
import { HearthError } from '#protocol/errors.ts';

const INGEST = 'ingest';
const INGESTS_AT_ONCE = 4;
/** An asset of 256 GiB from an origin at 10 MB/s takes eight hours. */
const INGEST_LIFE_S = 8 * 3600;
/** A worker that died is noticed by its silence, and the job given to another. */
const INGEST_HEARTBEAT_S = 10;

/** The job queue: in Postgres, so that jobs survive any process. */
export class Jobs {
  readonly #boss: PgBoss;

  private constructor(boss: PgBoss) {
    this.#boss = boss;
  }

  static async start(databaseUrl: string, log: Logger, supervise: boolean): Promise<Jobs> {
    const boss = new PgBoss({
      connectionString: databaseUrl,
      max: 4,
      supervise,
      application_name: 'hearth jobs',
    });
    boss.on('error', (error) =>
      log.warn({ err: error.message }, 'the job queue is in trouble; it tries again'),
    );
    await boss.start();
    // One waiting job for an asset is enough, however often it is asked for.
    await boss.createQueue(INGEST, {
      policy: 'short',
      retryLimit: 4,
      retryDelay: 5,
      retryBackoff: true,
      expireInSeconds: INGEST_LIFE_S,
      heartbeatSeconds: INGEST_HEARTBEAT_S,
    });
    return new Jobs(boss);
  }

  /** Queues assets to be read from their origins, in the transaction that adds them: none is added and never read. */
  async ingest(tx: Transaction, assetIds: string[]): Promise<void> {
    const db = fromDrizzle(tx, sql);
    for (const assetId of assetIds) await this.#boss.send(INGEST, { assetId }, { singletonKey: assetId, db });
  }

  /** Works on ingest jobs until `signal` aborts. */
  async work(db: Database, signal: AbortSignal, log: Logger): Promise<void> {
    const options = { pollingIntervalSeconds: 0.5, localConcurrency: INGESTS_AT_ONCE };
    await this.#boss.work<{ assetId: string }>(INGEST, options, async ([job]) => {
      if (!job) return;
      const { assetId } = job.data;
      const { retry } = await ingestAsset(db, assetId, { signal });
      if (retry) throw new HearthError('unavailable', `asset ${assetId} is to be read again later`);
      log.debug({ assetId }, 'ingested');
    });
  }

  async close(): Promise<void> {
    await this.#boss.stop({ graceful: true, timeout: 5000 });
  }
}
