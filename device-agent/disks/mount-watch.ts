import { readMountTable } from './mounts.ts';

/** How long a disk that was plugged in or pulled may go unnoticed, ms. */
const EVERY_MS = 500;

/**
 * Notices that something was mounted or unmounted. The kernel tells by poll(2) on the table, which Node cannot
 * ask for; reading its few lines twice a second costs no disk access and some 50 microseconds.
 */
export class MountWatch {
  readonly #onLook: (changed: boolean) => void;
  readonly #readTable: () => Promise<string>;
  #timer: NodeJS.Timeout | null = null;
  #last: string | null = null;
  #reading = false;

  /** @param onLook told of each look at the table, and whether it is another than the last time */
  constructor(onLook: (changed: boolean) => void, readTable = readMountTable) {
    this.#onLook = onLook;
    this.#readTable = readTable;
  }

  start(everyMs = EVERY_MS): void {
    this.#timer ??= setInterval(() => void this.#read(), everyMs);
    this.#timer.unref();
  }

  close(): void {
    if (this.#timer) clearInterval(this.#timer);
    this.#timer = null;
  }

  async #read(): Promise<void> {
    if (this.#reading) return;
    this.#reading = true;
    try {
      const table = await this.#readTable();
      const changed = this.#last !== null && this.#last !== table;
      this.#last = table;
      if (this.#timer !== null) this.#onLook(changed);
    } catch {
      // No table, no news: the disk is looked at every few seconds all the same.
    } finally {
      this.#reading = false;
    }
  }
}
