import type { Logger } from 'pino';
import type { Downloads } from '#agent/fetch/downloads.ts';
import type { Store } from '#agent/store/store.ts';
import type { Clock } from '#agent/time/clock.ts';
import { messageOf } from '#protocol/errors.ts';
import type { PlannedAsset, PlannedObject, PlanView, Step } from './planner.ts';
import { nextWakeMs, plan } from './planner.ts';

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
    for (const step of plan(this.#view())) {
      if (this.#closed) return;
      try {
        await this.#carryOut(step);
      } catch (error) {
        failed = true;
        this.#log.warn({ step: step.do, reason: messageOf(error) }, 'a step failed and will be tried again');
      }
    }
    this.#sleep(failed);
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

  #sleep(failed: boolean): void {
    if (this.#timer) clearTimeout(this.#timer);
    if (this.#closed) return;
    this.#noteNeededRoom();
    const next = Math.min(
      nextWakeMs(this.#view()) ?? LONGEST_SLEEP_MS,
      failed ? AFTER_FAILURE_MS : LONGEST_SLEEP_MS,
    );
    this.#timer = setTimeout(() => this.wake(), Math.max(next, 50));
    this.#timer.unref();
  }

  /** The disk is full as long as not even the smallest of what waits for room would fit. */
  #noteNeededRoom(): void {
    let needed = 0;
    for (const object of this.#store.catalog.objects.values()) {
      if (object.failure?.code !== 'disk_full' || object.assetIds.size === 0) continue;
      const rest = object.sizeBytes - object.bytesDone;
      needed = needed === 0 ? rest : Math.min(needed, rest);
    }
    this.#store.disk.waitFor(needed);
  }

  /** The view is made anew at each change: what is held and does not expire, mostly nearly all, is left out. */
  #view(): PlanView {
    const { catalog, disk, orphans } = this.#store;
    const assets: PlannedAsset[] = [];
    for (const asset of catalog.assets.values()) if (asset.expiresAtMs !== null) assets.push(asset);
    const objects: PlannedObject[] = [];
    for (const object of catalog.objects.values()) {
      if (object.state === 'complete' && !object.downloading && object.assetIds.size > 0) continue;
      let issuedAtMs = Number.POSITIVE_INFINITY;
      for (const assetId of object.assetIds) {
        issuedAtMs = Math.min(issuedAtMs, catalog.assets.get(assetId)?.issuedAtMs ?? 0);
      }
      objects.push({
        sha256: object.sha256,
        assetIds: [...object.assetIds],
        state: object.state,
        downloading: object.downloading,
        retryAtMs: object.failure?.retryAtMs ?? null,
        issuedAtMs,
      });
    }
    return {
      assets,
      objects,
      orphans: [...orphans],
      // A disk that is full only for what waits may still have room for something smaller. With none at all,
      // downloads stop: they would go on into what is left to the owner.
      writable: disk.writable || (disk.state === 'full' && disk.spareBytes > 0),
      removable: disk.writable || disk.state === 'full',
      slots: this.#downloads.slots,
      nowMs: this.#clock.monotonic(),
      fleetNowMs: this.#clock.fleetNow(),
    };
  }
}
