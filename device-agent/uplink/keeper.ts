import path from 'node:path';
import type { Logger } from 'pino';
import type { Disk } from '#agent/store/disk.ts';
import { messageOf } from '#protocol/errors.ts';
import type { Uplink } from './uplink.ts';

/** A file that could not be taken up is tried again after this long, ms. */
const AGAIN_MS = 5_000;

/** Keeps the line's counts on the disk while it takes writes. */
export class UsageKeeper {
  readonly #disk: Disk;
  readonly #uplink: Uplink;
  readonly #log: Logger;
  #turn: Promise<void> = Promise.resolve();
  #using: string | null = null;
  #timer: NodeJS.Timeout | null = null;
  #closed = false;

  constructor(disk: Disk, uplink: Uplink, log: Logger) {
    this.#disk = disk;
    this.#uplink = uplink;
    this.#log = log;
    disk.onChange(() => this.#follow());
    this.#follow();
  }

  /** Resolves when the disk's last change has been followed. */
  async settled(): Promise<void> {
    await this.#turn;
  }

  async close(): Promise<void> {
    this.#closed = true;
    if (this.#timer) clearTimeout(this.#timer);
    await this.#turn;
  }

  #follow(): void {
    this.#turn = this.#turn
      .then(async () => {
        const { takesSmallFiles, layout } = this.#disk;
        const file = takesSmallFiles ? path.join(layout.home, 'uplink.json') : null;
        if (this.#closed || file === this.#using) return;
        await this.#uplink.useFile(file);
        this.#using = file;
      })
      .catch((error) => {
        this.#log.warn(
          { reason: messageOf(this.#disk.failed(error)) },
          'the count of the month cannot be read',
        );
        if (this.#timer) clearTimeout(this.#timer);
        this.#timer = setTimeout(() => this.#follow(), AGAIN_MS);
        this.#timer.unref();
      });
  }
}
