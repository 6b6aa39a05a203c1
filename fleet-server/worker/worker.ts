import type { Logger } from 'pino';
import { expirePlacements } from '#fleet/assignments/assignments.ts';
import { reconcileBox, unsettledBoxes } from '#fleet/assignments/reconcile.ts';
import { noteLostBoxes, refillCopies } from '#fleet/assignments/refill.ts';
import { type DialParts, dialBoxes } from '#fleet/boxes/dial-back.ts';
import { endSilent } from '#fleet/boxes/silence.ts';
import type { Database } from '#fleet/database/database.ts';
import { driveRollouts, type UpdateUrls } from '#fleet/rollouts/drive.ts';
import { askSpotCheck, boxesToCheck, closeLate } from '#fleet/spot-checks/spot-checks.ts';
import { messageOf } from '#protocol/errors.ts';
import type { Jobs } from './jobs.ts';
import { prune } from './prune.ts';

export interface WorkerOptions {
  /** Brings one waiting certificate request to its end; false when none is due. Null: no certificates. */
  issue: (() => Promise<boolean>) | null;
  spotChecksPerHour: number;
  dial: DialParts;
  dialEveryMs: number;
  /** What boxes' names end with; null: they have none. */
  boxDomain: string | null;
  heartbeatMs: number;
  /** Where boxes find releases. */
  updateUrls: () => UpdateUrls;
}

/**
 * The work nobody waits for: brings desired and reported state together, expires, dials boxes back, asks for spot
 * checks, ingests. Every task can be run by several workers at once and be killed at any point.
 */
export class Worker {
  readonly #db: Database;
  readonly #log: Logger;
  readonly #stopping = new AbortController();
  readonly #timers: NodeJS.Timeout[] = [];
  readonly #running = new Set<Promise<void>>();
  readonly #dirty = new Set<string>();
  #draining = false;

  constructor(db: Database, log: Logger) {
    this.#db = db;
    this.#log = log;
  }

  async start(jobs: Jobs, options: WorkerOptions): Promise<void> {
    await jobs.work(this.#db, this.#stopping.signal, this.#log);
    this.#every(1000, 'expire placements', async () => void (await expirePlacements(this.#db)));
    this.#every(1000, 'give copies to other boxes', async () => {
      const given = await refillCopies(this.#db);
      if (given > 0)
        this.#log.info({ copies: given }, 'copies that were missing are assigned to other boxes');
    });
    this.#every(60_000, 'count lost boxes out', async () => {
      const lost = await noteLostBoxes(this.#db);
      if (lost > 0) this.#log.warn({ boxes: lost }, 'boxes are away so long that copies are made elsewhere');
    });
    this.#every(5000, 'look for boxes to reconcile', async () => this.#mark(await unsettledBoxes(this.#db)));
    this.#every(
      1000,
      'dial boxes',
      async () =>
        void (await dialBoxes(this.#db, options.dial, options.dialEveryMs, options.boxDomain, this.#log)),
    );
    this.#every(5000, 'find silent boxes', async () => void (await endSilent(this.#db, options.heartbeatMs)));
    this.#every(2000, 'close late spot checks', async () => void (await closeLate(this.#db)));
    this.#every(600_000, 'prune what is over', async () => {
      const gone = await prune(this.#db, this.#stopping.signal);
      if (Object.values(gone).some((rows) => rows > 0)) this.#log.info(gone, 'what is long over was deleted');
    });
    const upSince = new Date();
    this.#every(1000, 'drive rollouts', () =>
      driveRollouts(this.#db, options.updateUrls(), new Date(), upSince),
    );
    const { issue } = options;
    if (issue) {
      this.#every(1000, 'issue certificates', async () => {
        while (!this.#stopping.signal.aborted && (await issue()));
      });
    }
    if (options.spotChecksPerHour > 0) {
      const everyMs = 3_600_000 / options.spotChecksPerHour;
      this.#every(Math.min(60_000, everyMs), 'ask for spot checks', async () => {
        for (const boxId of await boxesToCheck(this.#db, everyMs)) {
          await askSpotCheck(this.#db, boxId).catch((error: unknown) => {
            this.#log.info({ boxId, err: messageOf(error) }, 'no spot check could be asked for');
          });
        }
      });
    }
  }

  /** The desired or reported state of a box changed; empty: of any. */
  changed(boxId: string): void {
    if (boxId !== '') this.#mark([boxId]);
    else this.#run('look for boxes to reconcile', async () => this.#mark(await unsettledBoxes(this.#db)));
  }

  async close(): Promise<void> {
    this.#stopping.abort();
    for (const timer of this.#timers) clearInterval(timer);
    await Promise.allSettled(this.#running);
  }

  #mark(boxIds: string[]): void {
    for (const boxId of boxIds) this.#dirty.add(boxId);
    if (this.#draining || this.#dirty.size === 0) return;
    this.#draining = true;
    this.#run('reconcile', async () => {
      try {
        // Asked for while it runs means: once more after this.
        for (const boxId of this.#dirty) {
          if (this.#stopping.signal.aborted) return;
          this.#dirty.delete(boxId);
          await reconcileBox(this.#db, boxId);
        }
      } finally {
        this.#draining = false;
      }
    });
  }

  #every(ms: number, name: string, task: () => Promise<void>): void {
    let busy = false;
    const tick = (): void => {
      if (busy || this.#stopping.signal.aborted) return;
      busy = true;
      this.#run(name, () => task().finally(() => (busy = false)));
    };
    this.#timers.push(setInterval(tick, ms));
    tick();
  }

  #run(name: string, task: () => Promise<void>): void {
    const running = task()
      .catch((error: unknown) =>
        this.#log.warn({ err: messageOf(error) }, `could not ${name}; tried again later`),
      )
      .finally(() => this.#running.delete(running));
    this.#running.add(running);
  }
}
