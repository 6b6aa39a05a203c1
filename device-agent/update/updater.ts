import { lstat } from 'node:fs/promises';
import type { Logger } from 'pino';
import type { OriginClient } from '#agent/fetch/origin.ts';
import { OriginError } from '#agent/fetch/origin-error.ts';
import { backoffMs } from '#agent/time/backoff.ts';
import { HearthError, isHearthError, messageOf } from '#protocol/errors.ts';
import { clip } from '#protocol/messages.ts';
import type { Architecture, Artefact, UpdateOrder, UpdateReport } from '#protocol/release.ts';
import type { HealthParts } from './health.ts';
import { proveHealth } from './health.ts';
import type { Launched } from './launched.ts';
import type { Slot, UpdateMemory } from './memory.ts';
import type { UpdateStep, WaitReason } from './plan.ts';
import { planUpdate } from './plan.ts';
import { Progress } from './progress.ts';
import type { Slots } from './slots.ts';
import { tryOut } from './slots.ts';
import { Standing } from './standing.ts';
import type { BoxTrust } from './trust.ts';

export interface UpdaterParts {
  version: string;
  architecture: Architecture;
  launched: Launched;
  memory: UpdateMemory;
  trust: BoxTrust;
  slots: Slots;
  client: OriginClient;
  health: HealthParts;
  /** Bytes that may still be written to the disk. */
  roomBytes: () => number;
  /** ms since 1970 by the fleet's time; null: not known. */
  now: () => number | null;
  /** Of the household's day; null: not known. */
  hour: () => number | null;
  /** How long this version may take to prove itself, ms. */
  deadlineMs: number;
  /** How often what is waited for is looked at, ms. */
  pollMs: number;
  /** First wait before what failed is tried again; doubles up to ten minutes. */
  retryMs: number;
  log: Logger;
  /** How things stand has changed. */
  onReport: () => void;
  /** Ends this process so that the launcher starts what the choice says. Returns at once. */
  restart: () => void;
}

/** The longest wait before another try of what may go better the next time, ms. */
const LONGEST_RETRY_MS = 600_000;
/** Metadata older than this is fetched anew before anything is switched to, ms. */
const FRESH_MS = 60_000;
/** Times an artefact is fetched anew when what came was wrong. */
const MOST_FETCHES = 3;
const WAITS: Record<WaitReason, string> = {
  time: 'the time is not known yet',
  disk: 'its disk cannot be written',
  paused: 'the household has paused its line',
  link: 'it has no link to its fleet',
  window: 'it is not the time of day for it',
};

/**
 * Brings the box to the version its fleet ordered, one at a time and beside everything else it does: fetch, verify,
 * put beside what runs, try, switch, prove. Whatever moment it is killed at, the launcher finds one good version.
 */
export class Updater {
  readonly #parts: UpdaterParts;
  readonly #standing: Standing;
  readonly #progress: Progress;
  readonly #closing = new AbortController();
  #order: UpdateOrder | null = null;
  /** Ends the step under way: another order has come. */
  #current = new AbortController();
  /** The order the metadata was brought up to date for, and what of it is done. */
  #refreshed: { updateId: string; atMs: number } | null = null;
  #tried: string | null = null;
  #installed: string | null = null;
  #fetches = 0;
  #failures = 0;
  #rootVersion: number | null = null;
  #running: Promise<void> | null = null;
  #wake: () => void = () => undefined;
  #leaving = false;

  constructor(parts: UpdaterParts) {
    this.#parts = parts;
    this.#standing = new Standing(parts.memory, parts.version, parts.launched);
    this.#progress = new Progress(parts.onReport);
  }

  /** Takes up what the launcher left, and begins to prove this version if it is on trial. */
  async open(): Promise<void> {
    const { onTrial, awaited } = await this.#standing.open();
    this.#progress.takeUp(this.#standing.record);
    this.#rootVersion = await this.#parts.trust.open().then(
      ({ rootVersion }) => rootVersion,
      () => null,
    );
    if (onTrial) this.#begin(() => this.#prove());
    else if (awaited) this.#begin(() => this.#await(awaited));
  }

  report(): UpdateReport {
    const { architecture, version, launched } = this.#parts;
    return {
      architecture,
      version,
      runs: launched.mode === 'packaged' ? 'packaged' : 'installed',
      packaged: launched.packagedVersion,
      rootVersion: this.#rootVersion,
      update: this.#progress.current,
    };
  }

  /** The fleet's order; the newest word counts. Null: what has not been switched to is dropped. */
  order(order: UpdateOrder | null): void {
    const isKnown = JSON.stringify(this.#order) === JSON.stringify(order);
    // Known, carried out already, or on trial at this moment: how it stands is told again.
    if (isKnown || (order && this.#standing.record.update?.updateId === order.updateId)) {
      this.#parts.onReport();
      return;
    }
    this.#order = order;
    this.#refreshed = null;
    this.#fetches = this.#failures = 0;
    this.#current.abort();
    if (order === null) {
      this.#progress.takeUp(this.#standing.record);
      this.#parts.onReport();
    }
    this.#wake();
    this.#begin(() => Promise.resolve());
  }

  async close(): Promise<void> {
    this.#closing.abort();
    this.#current.abort();
    this.#wake();
    await this.#running;
  }

  get #ended(): boolean {
    return this.#closing.signal.aborted || this.#leaving;
  }

  #begin(first: () => Promise<void>): void {
    this.#running ??= first()
      .then(() => this.#work())
      .catch((error) => {
        if (!this.#closing.signal.aborted) {
          this.#parts.log.error({ reason: messageOf(error) }, 'the update stopped');
        }
      })
      .finally(() => {
        this.#running = null;
        // It came while the work before it was ending.
        if (this.#order && !this.#ended) this.#begin(() => this.#sleep(this.#parts.pollMs));
      });
  }

  async #work(): Promise<void> {
    while (this.#order && !this.#ended) {
      const order = this.#order;
      this.#current = new AbortController();
      try {
        await this.#step(order, this.#current.signal);
        this.#failures = 0;
      } catch (error) {
        if (this.#ended || this.#order !== order) continue;
        // Damaged on the way, perhaps: that is seen by its coming right another time.
        const again = isHearthError(error, 'artefact_mismatch') && ++this.#fetches < MOST_FETCHES;
        if (isLasting(error) && !again) await this.#fail(order, error);
        else await this.#later(order, error);
      }
    }
  }

  async #step(order: UpdateOrder, signal: AbortSignal): Promise<void> {
    const { version, architecture, launched, now, hour, health, trust, log } = this.#parts;
    const nowMs = now();
    const { atMs, updateId } = this.#refreshed ?? {};
    const refreshed = updateId === order.updateId;
    const ageMs = (nowMs ?? 0) - (atMs ?? 0);
    const artefact = refreshed ? (await trust.open()).artefact(order.version, architecture) : null;
    const disk = health.diskReadable() && health.diskWritable();
    const step = planUpdate({
      order,
      box: { version, architecture, highest: this.#standing.record.highest },
      packaged: launched.packagedVersion,
      timeKnown: nowMs !== null,
      hour: hour(),
      refreshed,
      fresh: refreshed && ageMs >= 0 && ageMs < FRESH_MS,
      artefact,
      disk,
      accepting: health.accepting(),
      linked: health.linked(),
      installed: artefact !== null && disk && (await this.#isInstalled(artefact, signal)),
      tried: artefact !== null && this.#tried === artefact.sha256,
    });
    log.debug({ step: step.do, updateId: order.updateId }, 'a step of the update');
    await this.#carryOut(step, order, artefact, signal);
  }

  async #carryOut(
    step: UpdateStep,
    order: UpdateOrder,
    artefact: Artefact | null,
    signal: AbortSignal,
  ): Promise<void> {
    switch (step.do) {
      case 'wait':
        this.#progress.say(order, 'waiting', { code: step.for, message: WAITS[step.for] }, artefact);
        return this.#sleep(this.#parts.pollMs);
      case 'fail':
        throw new HearthError(step.code, step.message);
      case 'done':
        return this.#end(order, 'updated', null);
      case 'refresh':
        return this.#refresh(order, signal);
      case 'use-packaged':
        return this.#switch(order, null, artefact?.sha256 ?? '');
    }
    if (!artefact) return;
    const { slots, launched } = this.#parts;
    const { sha256, version } = artefact;
    const file = slots.fileOf(sha256);
    switch (step.do) {
      case 'download':
        return this.#download(order, artefact, signal);
      case 'try':
        await tryOut(launched.runner, file, artefact, signal);
        this.#tried = sha256;
        this.#progress.say(order, 'installed', null, artefact);
        return;
      case 'switch':
        return this.#switch(order, { sha256, version, file }, sha256);
    }
  }

  async #refresh(order: UpdateOrder, signal: AbortSignal): Promise<void> {
    const { trust, now } = this.#parts;
    const nowMs = now();
    if (nowMs === null) return;
    const { rootVersion } = await trust.refresh(order.metadataUrl, nowMs, signal);
    this.#rootVersion = rootVersion;
    this.#refreshed = { updateId: order.updateId, atMs: nowMs };
  }

  /** Verified once while this process runs: the launcher does so again at each start. */
  async #isInstalled(artefact: Artefact, signal: AbortSignal): Promise<boolean> {
    const { slots } = this.#parts;
    const file = slots.fileOf(artefact.sha256);
    if (this.#installed === file && (await isFile(file))) return true;
    this.#installed = (await slots.holds(artefact, signal)) ? file : null;
    return this.#installed !== null;
  }

  async #download(order: UpdateOrder, artefact: Artefact, signal: AbortSignal): Promise<void> {
    const { slots, client, roomBytes } = this.#parts;
    await slots.keepOnly(new Set([...this.#standing.needed(), artefact.sha256]));
    const needed = await slots.missingBytes(artefact);
    if (needed > roomBytes()) {
      const message = `${needed} bytes are needed for the update, ${roomBytes()} may be used`;
      throw new HearthError('disk_full', message);
    }
    this.#progress.say(order, 'downloading', null, artefact, artefact.sizeBytes - needed);
    await slots.fetch(client, order.artefactsUrl, artefact, signal, (bytesDone) => {
      this.#progress.say(order, 'downloading', null, artefact, bytesDone);
    });
  }

  async #switch(order: UpdateOrder, slot: Slot | null, sha256: string): Promise<void> {
    const { log, restart } = this.#parts;
    const { updateId, version } = order;
    await this.#standing.beginTrial(order, slot, sha256);
    this.#leaving = true;
    this.#progress.say(order, 'trial');
    log.info({ updateId, version }, 'switching to another version');
    restart();
  }

  /** This version is on trial. */
  async #prove(): Promise<void> {
    const { slots, health, deadlineMs, version, log, restart, onReport } = this.#parts;
    try {
      await proveHealth(health, deadlineMs, this.#closing.signal);
    } catch (error) {
      this.#closing.signal.throwIfAborted();
      this.#leaving = true;
      log.error({ version, reason: messageOf(error) }, 'this version could not prove itself: going back');
      const code = isHearthError(error) ? error.code : 'update_unhealthy';
      await this.#standing.giveUp({ code, message: clip(messageOf(error)) });
      this.#progress.takeUp(this.#standing.record);
      onReport();
      restart();
      return;
    }
    await this.#standing.keep();
    log.info({ version }, 'this version has proved itself, and is kept');
    this.#progress.takeUp(this.#standing.record);
    onReport();
    await slots.keepOnly(this.#standing.needed());
  }

  /** An installed version lies on a disk that was not there: when it is, it is started. */
  async #await(slot: Slot): Promise<void> {
    const { health, restart, log, pollMs } = this.#parts;
    while (!this.#ended && !this.#order) {
      await this.#sleep(pollMs);
      if (this.#ended || !health.diskReadable() || !(await isFile(slot.file))) continue;
      this.#leaving = true;
      log.info({ version: slot.version }, 'the disk with the installed version is back: starting that');
      restart();
    }
  }

  async #fail(order: UpdateOrder, error: unknown): Promise<void> {
    const { updateId } = order;
    const code = isHearthError(error) ? error.code : 'internal';
    this.#parts.log.error({ updateId, code, reason: messageOf(error) }, 'an update was given up');
    await this.#end(order, 'failed', { code, message: clip(messageOf(error)) });
  }

  async #later(order: UpdateOrder, error: unknown): Promise<void> {
    const { log, pollMs, retryMs } = this.#parts;
    const reason = messageOf(error);
    log.warn({ updateId: order.updateId, reason }, 'an update is tried again later');
    const code = isHearthError(error) ? error.code : 'unavailable';
    this.#progress.say(order, 'waiting', { code, message: reason });
    const waitMs = backoffMs({ baseMs: retryMs, capMs: LONGEST_RETRY_MS }, this.#failures++);
    await this.#sleep(pollMs + waitMs);
  }

  async #end(
    order: UpdateOrder,
    state: 'updated' | 'failed',
    reason: { code: string; message: string } | null,
  ): Promise<void> {
    await this.#standing.ended(order, state, reason);
    if (this.#order === order) this.#order = null;
    this.#progress.takeUp(this.#standing.record);
    this.#parts.onReport();
  }

  async #sleep(ms: number): Promise<void> {
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, ms);
      this.#wake = () => {
        clearTimeout(timer);
        resolve();
      };
      if (this.#closing.signal.aborted) this.#wake();
    });
  }
}

/** True for what does not get better by itself: the release, not the line or the disk, is wrong. */
function isLasting(error: unknown): boolean {
  if (error instanceof OriginError || !isHearthError(error)) return false;
  return /^(release_|update_|artefact_)/.test(error.code) || error.code === 'bad_request';
}

async function isFile(file: string): Promise<boolean> {
  return (await lstat(file).catch(() => null))?.isFile() ?? false;
}
