import type { Logger } from 'pino';
import { messageOf } from '#protocol/errors.ts';
import type { DiskState } from '#protocol/messages.ts';
import type { Account } from './account/account.ts';
import type { ActivityLog } from './activity/activity.ts';
import type { Downloads } from './fetch/downloads.ts';
import type { ContentServer } from './serve/content-server.ts';
import { Leftovers } from './store/adoption.ts';
import { diskTurns } from './store/disk-turns.ts';
import type { IntegrityCheck } from './store/integrity.ts';
import type { Store } from './store/store.ts';
import { backoffMs } from './time/backoff.ts';

export interface DiskWatchParts {
  store: Store;
  downloads: Downloads;
  content: ContentServer;
  integrity: IntegrityCheck;
  /** Null when deliveries do not go to the disk. */
  account: Account | null;
  activity: ActivityLog;
  log: Logger;
  /** Before a disk is read: what else lies on it is remembered. */
  recall: () => Promise<void>;
  replan: () => void;
  sendIndex: () => void;
}

/** A disk that could not be followed is tried again after the first, and at the latest the second of these, ms. */
const AGAIN = { baseMs: 200, capMs: 5_000 };

/** What the agent does when the disk goes, comes back, fills up or stops taking writes. */
export class DiskWatch {
  readonly #parts: DiskWatchParts;
  readonly #leftovers: Leftovers;
  #turn: Promise<void> = Promise.resolve();
  #loaded = false;
  #counting = false;
  /** Times in a row that a change could not be followed. */
  #failures = 0;
  /** Whether the fleet knows this disk as one that can be read. */
  #told: boolean | null = null;

  constructor(parts: DiskWatchParts) {
    this.#parts = parts;
    this.#leftovers = new Leftovers(parts.store.disk.layout);
    const { store, content, activity, integrity } = parts;
    store.on((event) => {
      if (event.type !== 'loaded') return;
      activity.add('integrity_started');
      integrity.start();
      parts.sendIndex();
      parts.replan();
    });
    store.disk.onChange((state, before) => {
      if (before !== 'absent' || state !== 'ok' || this.#loaded)
        activity.add('disk_state', { state, before });
      // At once: nothing of a disk that has gone may be served, whatever else is under way.
      if (!store.disk.readable) {
        content.withdrawAll();
        diskTurns().giveUp();
      }
      this.#follow(state);
      return this.#turn;
    });
    store.disk.countBy(() => store.catalog.usedBytes + this.#leftovers.bytes + content.encodings.usedBytes);
  }

  #follow(state: DiskState): void {
    const { log, store } = this.#parts;
    this.#turn = this.#turn
      .then(() => this.#react(state))
      .then(() => {
        this.#failures = 0;
      })
      .catch((error) => {
        log.error({ reason: messageOf(error) }, 'a change of the disk was not followed yet');
        setTimeout(() => this.#follow(store.disk.state), backoffMs(AGAIN, this.#failures++)).unref();
      });
  }

  /** Resolves when the last change has been followed. */
  async settled(): Promise<void> {
    await this.#turn;
  }

  async #react(state: DiskState): Promise<void> {
    const { store, downloads, account, replan, sendIndex } = this.#parts;
    const { disk } = store;
    const count = disk.takesSmallFiles;
    // First of all: whatever fails below, what comes back is read anew.
    if (!disk.readable) this.#loaded = false;
    if (account && this.#counting && !count) await account.useFolder(null);
    if (!disk.readable) {
      this.#leftovers.close();
      await downloads.stopAll();
    } else if (!this.#loaded) {
      await downloads.stopAll();
      await this.#parts.recall();
      await store.load();
      await this.#leftovers.look();
      this.#loaded = true;
    }
    if (account && !this.#counting && count) await account.useFolder(disk.layout.deliveries);
    this.#counting = count;
    if (state === 'full') await this.#makeRoom();
    if (state === 'ok') this.#forgiveDisk();
    // The fleet is told anew when what is held has changed with the disk, not when it is slow for a moment.
    if (disk.readable !== this.#told) sendIndex();
    this.#told = disk.readable;
    replan();
  }

  /** What nothing needs goes before anything that was asked for. */
  async #makeRoom(): Promise<void> {
    const { store, content } = this.#parts;
    const before = this.#leftovers.bytes + content.encodings.usedBytes;
    if (before === 0) return;
    await this.#leftovers.drop();
    await content.encodings.shed();
    void store.disk.look();
  }

  /** Reading an object has failed: it is out of service from now on, and is fetched again where that fails. */
  quarantine(sha256: string): void {
    const { store, log } = this.#parts;
    store.quarantine(sha256, 'it could not be read').catch((error) => {
      log.warn({ sha256, reason: messageOf(error) }, 'an object that cannot be read could not be set aside');
    });
  }

  /** Downloads that failed because of the disk need not wait any longer. */
  #forgiveDisk(): void {
    const { objects } = this.#parts.store.catalog.tables;
    for (const [row, { failure }] of [...objects.extras()]) {
      if (failure?.code.startsWith('disk_')) objects.setExtra(row, { failure: null });
    }
  }
}
