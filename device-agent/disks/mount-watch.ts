import { readMountTable } from './mounts.ts';

/** How long a disk that was plugged in or pulled may go unnoticed, ms. */
const EVERY_MS = 1_000;

/**
 * Notices that something was mounted or unmounted. The kernel tells by poll(2) on the table, which Node cannot
 * ask for; reading its few lines every second costs no disk access and some 50 microseconds.
 */
export class MountWatch {
  readonly #onChange: () => void;
  readonly #readTable: () => Promise<string>;
  #timer: NodeJS.Timeout | null = null;
  #last: string | null = null;
  #reading = false;

  constructor(onChange: () => void, readTable = readMountTable) {
    this.#onChange = onChange;
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
      const isFirst = this.#last === null;
      const isNew = this.#last !== table;
      this.#last = table;
      if (isNew && !isFirst && this.#timer !== null) this.#onChange();
    } catch {
      // No table, no news: the disk is looked at every few seconds all the same.
    } finally {
      this.#reading = false;
    }
  }
}
