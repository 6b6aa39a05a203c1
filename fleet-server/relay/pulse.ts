export interface PulseParts<T> {
  /** One that does not answer for this long is gone, at the latest so long after it was last heard, ms. */
  silentMs: number;
  /** Asks it whether it is there. @param answered called when it is */
  ask: (one: T, answered: () => void) => void;
  gone: (one: T) => void;
  /** Monotonic, ms. */
  now: () => number;
}

interface Beat {
  /** When it is asked next, or was asked. */
  atMs: number;
  asked: boolean;
}

/**
 * Asks each of many now and then whether it is there, with one timer for all: ten thousand of their own, and another
 * for each question, would be most of what an idle relay has to do.
 */
export class Pulse<T> {
  readonly #parts: PulseParts<T>;
  readonly #beats = new Map<T, Beat>();
  readonly #stepMs: number;
  #timer: NodeJS.Timeout | null = null;
  #lookedAtMs = 0;

  constructor(parts: PulseParts<T>) {
    this.#parts = parts;
    this.#stepMs = parts.silentMs / 45;
  }

  add(one: T): void {
    const now = this.#parts.now();
    this.#beats.set(one, { atMs: now + this.#everyMs, asked: false });
    if (this.#timer) return;
    this.#lookedAtMs = now;
    this.#timer = setInterval(() => this.look(), this.#stepMs);
    this.#timer.unref();
  }

  remove(one: T): void {
    this.#beats.delete(one);
    if (this.#beats.size > 0 || !this.#timer) return;
    clearInterval(this.#timer);
    this.#timer = null;
  }

  /** Asks those whose turn it is, and gives up those that owe an answer for too long. */
  look(): void {
    const { ask, gone, now, silentMs } = this.#parts;
    const nowMs = now();
    // Answers may have been lying here all the time this process could not run.
    const sleptMs = Math.max(0, nowMs - this.#lookedAtMs - this.#stepMs);
    this.#lookedAtMs = nowMs;
    for (const [one, beat] of this.#beats) {
      if (beat.asked) {
        beat.atMs += sleptMs;
        if (nowMs - beat.atMs < silentMs - this.#everyMs) continue;
        this.remove(one);
        gone(one);
      } else if (nowMs >= beat.atMs) {
        beat.atMs = nowMs;
        beat.asked = true;
        ask(one, () => {
          beat.asked = false;
          beat.atMs = now() + this.#everyMs;
        });
      }
    }
  }

  /** From an answer to the next question: the rest of the silence is for the answer. */
  get #everyMs(): number {
    return (this.#parts.silentMs * 5) / 9;
  }
}
