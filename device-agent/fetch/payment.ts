import type http from 'node:http';
import type { Shaper } from '#shaping/shaper.ts';
import type { AheadWindow } from './ahead-window.ts';
import { OriginError } from './origin-error.ts';

/** What one request costs of the household's line: paid ahead as far as it is known, else as it comes. */
export class Payment {
  readonly #down: Shaper;
  readonly #window: AheadWindow;
  readonly #flow: string;
  readonly #signal: AbortSignal;
  #aheadBytes = 0;
  /** Waiting for its turn. */
  waiting = false;

  constructor(down: Shaper, window: AheadWindow, flow: string, signal: AbortSignal) {
    this.#down = down;
    this.#window = window;
    this.#flow = flow;
    this.#signal = signal;
  }

  /** Pays for bytes that are about to be asked for; without a cap they are counted as they come. */
  async ahead(bytes: number): Promise<void> {
    if (this.#down.bytesPerSecond === null) return;
    await this.#window.enter(bytes, this.#signal);
    try {
      await this.#pay(bytes);
    } catch (error) {
      this.#window.leave(bytes);
      throw error;
    }
    this.#aheadBytes = bytes;
  }

  /** The head of an answer has come: status line, and name, colon, space, value and line end of each header. */
  head(response: http.IncomingMessage): void {
    let bytes = 17 + (response.statusMessage?.length ?? 0);
    for (const text of response.rawHeaders) bytes += text.length + 2;
    this.#down.spend(bytes);
  }

  /** Bytes of the body have come. @returns null when they are paid */
  received(bytes: number): Promise<void> | null {
    const covered = Math.min(bytes, this.#aheadBytes);
    this.#aheadBytes -= covered;
    if (covered > 0) this.#window.leave(covered);
    return covered === bytes ? null : this.#pay(bytes - covered);
  }

  /** What was paid for and did not come. */
  end(): void {
    if (this.#aheadBytes === 0) return;
    this.#down.giveBack(this.#aheadBytes);
    this.#window.leave(this.#aheadBytes);
    this.#aheadBytes = 0;
  }

  async #pay(bytes: number): Promise<void> {
    let left = bytes;
    this.waiting = true;
    try {
      while (left > 0) {
        const granted = await this.#down.take(this.#flow, left, this.#signal);
        left -= granted;
        if (granted > 0) continue;
        // What has been paid of it is spent: the bytes are here, or will be asked for again.
        this.#signal.throwIfAborted();
        throw new OriginError('unavailable', 'the household has paused the box, or the month is used up', {
          lasting: true,
        });
      }
    } finally {
      this.waiting = false;
    }
  }
}
