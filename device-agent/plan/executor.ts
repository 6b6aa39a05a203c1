import type { Logger } from 'pino';
import type { Downloads } from '#agent/fetch/downloads.ts';
import type { Store } from '#agent/store/store.ts';
import type { Clock } from '#agent/time/clock.ts';
import { messageOf } from '#protocol/errors.ts';
import type { PlanView, Step } from './planner.ts';
import { nextWakeMs, plan } from './planner.ts';
import { viewOf } from './view.ts';

/** After a step failed the plan is made again this much later, ms. */
const AFTER_FAILURE_MS = 5_000;
const LONGEST_SLEEP_MS = 3_600_000;

/** Carries out the plan, one step at a time, whenever something changed or time has come. */
export class Executor {
  readonly #store: Store;
  readonly #downloads: Downloads;
  readonly #clock: Clock;
  readonly #log: Logger;
  #timer: NodeJS.Timeout | null = null;
  #running: Promise<void> | null = null;
  #again = false;
  #closed = false;

  constructor(parts: { store: Store; downloads: Downloads; clock: Clock; log: Logger }) {
    this.#store = parts.store;
    this.#downloads = parts.downloads;
    this.#clock = parts.clock;
    this.#log = parts.log;
  }

  /** Something changed: plan again. Cheap to call; calls during a run are taken together. */
  wake(): void {
    if (this.#closed) return;
    this.#again = true;
    this.#running ??= this.#run().finally(() => {
      this.#running = null;
      if (this.#again) this.wake();
    });
  }

  async close(): Promise<void> {
    this.#closed = true;
    if (this.#timer) clearTimeout(this.#timer);
    await this.#running;
  }

  async #run(): Promise<void> {
    let failed = false;
    // Let what woke us finish what it is doing.
    await new Promise((resolve) => setImmediate(resolve));
    this.#again = false;
    const planned = this.#view();
    for (const step of plan(planned)) {
      if (this.#closed) return;
      try {
        await this.#carryOut(step);
      } catch (error) {
        failed = true;
        this.#log.warn({ step: step.do, reason: messageOf(error) }, 'a step failed and will be tried again');
      }
    }
    this.#sleep(failed, planned);
  }

  async #carryOut(step: Step): Promise<void> {
    switch (step.do) {
      case 'expire':
        return this.#store.unwant(step.assetId, 'expired');
      case 'stop':
        return this.#downloads.stop(step.sha256);
      case 'delete':
        return this.#store.removeObject(step.sha256);
      case 'fetch':
        return this.#downloads.start(step.sha256);
    }
  }

  #sleep(failed: boolean, { nowMs, fleetNowMs }: PlanView): void {
    if (this.#timer) clearTimeout(this.#timer);
    if (this.#closed) return;
    this.#noteNeededRoom();
    const next = Math.min(
      // By the clock of the plan: what came due since then was not in it, and would be waited for in vain.
      nextWakeMs({ ...this.#view(), nowMs, fleetNowMs }) ?? LONGEST_SLEEP_MS,
      failed ? AFTER_FAILURE_MS : LONGEST_SLEEP_MS,
    );
    this.#timer = setTimeout(() => this.wake(), Math.max(next, 50));
    this.#timer.unref();
  }

  /** The disk is full as long as not even the smallest of what waits for room would fit. */
  #noteNeededRoom(): void {
    let needed = 0;
    const { objects } = this.#store.catalog.tables;
    for (const [row, { failure, bytesDone }] of objects.extras()) {
      if (failure?.code !== 'disk_full' || !objects.isWanted(row)) continue;
      const rest = objects.sizeBytes(row) - bytesDone;
      needed = needed === 0 ? rest : Math.min(needed, rest);
    }
    this.#store.disk.waitFor(needed);
  }

  #view(): PlanView {
    const { disk, orphans } = this.#store;
    const fleetNowMs = this.#clock.fleetNow();
    const nowMs = this.#clock.monotonic();
    return {
      ...viewOf(this.#store.catalog, { nowMs, fleetNowMs, slots: this.#downloads.slots }),
      orphans: [...orphans],
      // A disk that is full only for what waits may still have room for something smaller. With none at all,
      // downloads stop: they would go on into what is left to the owner.
      writable: disk.writable || (disk.state === 'full' && disk.spareBytes > 0),
      // While the disk is being read, what nothing seems to need may be needed.
      removable: (disk.writable || disk.state === 'full') && !this.#store.isLoading,
      slots: this.#downloads.slots,
      nowMs,
      fleetNowMs,
    };
  }
}
