import type { Timers } from './shaper.ts';

/** Time turned by hand: calls come due in order, and each sees the moment it was due. */
export class FakeTimers implements Timers {
  #nowMs = 0;
  #due: { atMs: number; call: () => void }[] = [];

  now(): number {
    return this.#nowMs;
  }

  after(ms: number, call: () => void): () => void {
    const entry = { atMs: this.#nowMs + ms, call };
    this.#due.push(entry);
    return () => {
      this.#due = this.#due.filter((other) => other !== entry);
    };
  }

  get pending(): number {
    return this.#due.length;
  }

  /** Lets time pass. */
  run(ms: number): void {
    const endMs = this.#nowMs + ms;
    for (;;) {
      let next: { atMs: number; call: () => void } | undefined;
      for (const entry of this.#due) if (!next || entry.atMs < next.atMs) next = entry;
      if (!next || next.atMs > endMs) break;
      this.#due = this.#due.filter((other) => other !== next);
      this.#nowMs = Math.max(this.#nowMs, next.atMs);
      next.call();
    }
    this.#nowMs = endMs;
  }
}
