import type { UpMessage } from '#protocol/messages.ts';

export type IntegrityMessage = Omit<UpMessage<'integrity'>, 'v' | 'at'>;

/** Messages kept while the link is down. */
const MOST_WAITING = 50;

/**
 * What the integrity check wants told. The check runs at the start, mostly before there is a link, and what it
 * found must not be lost for that; of mere progress only the newest word is kept.
 */
export class IntegrityNews {
  #waiting: IntegrityMessage[] = [];

  add(message: IntegrityMessage): void {
    this.#waiting = this.#waiting.filter((other) => other.finished || other.damaged.length > 0);
    this.#waiting.push(message);
    if (this.#waiting.length > MOST_WAITING) this.#waiting.shift();
  }

  /** The oldest not yet told. */
  peek(): IntegrityMessage | undefined {
    return this.#waiting[0];
  }

  told(message: IntegrityMessage): void {
    this.#waiting = this.#waiting.filter((other) => other !== message);
  }
}
