import type { DialCode, DialTarget } from '#protocol/reach.ts';
import { keyOf } from './planner.ts';

/** The fleet dials for up to three seconds; its answer may be lost with the link. */
const ANSWER_MS = 12_000;

type Result = { target: DialTarget; code: DialCode };

/** Has the fleet dial addresses: one request at a time over the link, and the answer that comes back, or none. */
export class Dialler {
  readonly #ask: (targets: DialTarget[]) => void;
  #turn: Promise<unknown> = Promise.resolve();
  #waiting: ((results: Result[]) => void) | null = null;

  /** @param ask sends the request; nothing comes back but a `dialled` some time later */
  constructor(ask: (targets: DialTarget[]) => void) {
    this.#ask = ask;
  }

  /** @returns what the fleet found; empty when it did not answer. @throws AbortError */
  dial(targets: DialTarget[], signal: AbortSignal): Promise<Result[]> {
    const result = this.#turn.then(() => this.#once(targets, signal));
    this.#turn = result.catch(() => undefined);
    return result;
  }

  /** The fleet has answered. What nobody waits for any more is dropped. */
  dialled(results: Result[]): void {
    this.#waiting?.(results);
  }

  #once(targets: DialTarget[], signal: AbortSignal): Promise<Result[]> {
    signal.throwIfAborted();
    const wanted = new Set(targets.map(keyOf));
    return new Promise((resolve, reject) => {
      const end = (act: () => void) => {
        clearTimeout(timer);
        signal.removeEventListener('abort', aborted);
        this.#waiting = null;
        act();
      };
      const aborted = () => end(() => reject(signal.reason));
      const timer = setTimeout(() => end(() => resolve([])), ANSWER_MS);
      signal.addEventListener('abort', aborted, { once: true });
      this.#waiting = (results) => {
        // A late answer to an earlier question is none to this one.
        const ours = results.filter(({ target }) => wanted.has(keyOf(target)));
        if (ours.length > 0) end(() => resolve(ours));
      };
      this.#ask(targets);
    });
  }
}
