import type { DownMessage } from '#protocol/messages.ts';
import { isThatBox } from './neighbour.ts';
import type { PeerSource } from './source-book.ts';

export interface PeerFinderParts {
  /** Asks the fleet. @returns false while there is no link */
  ask: (sha256s: string[]) => boolean;
  /** How long an answer is waited for, ms. */
  patienceMs?: number;
}

const PATIENCE_MS = 1_000;
/** A fleet that never answers does not know the question: it is not asked again in this session. */
const MOST_UNANSWERED = 3;

/** Asks the fleet who else holds an object; without an answer in time there is the origin. */
export class PeerFinder {
  readonly #parts: PeerFinderParts;
  readonly #waiting = new Map<string, (sources: PeerSource[]) => void>();
  #unanswered = 0;

  constructor(parts: PeerFinderParts) {
    this.#parts = parts;
  }

  /** A new session with the fleet has begun: it may be another by now. */
  beginSession(): void {
    this.#unanswered = 0;
  }

  /** The fleet has answered. What nobody waits for any more is dropped. */
  take(message: DownMessage<'sources'>): void {
    this.#unanswered = 0;
    this.#waiting.get(message.sha256)?.(message.sources);
  }

  /** Those the fleet names; of those in this network the ones that are there. One call for an object at a time. */
  async find(sha256: string, signal: AbortSignal): Promise<PeerSource[]> {
    if (this.#unanswered >= MOST_UNANSWERED || !this.#parts.ask([sha256])) return [];
    const named = await this.#answer(sha256, signal);
    const there = await Promise.all(
      named.map((peer) => !peer.lan || isThatBox(peer.url, peer.boxId, signal)),
    );
    return named.filter((_, index) => there[index]);
  }

  #answer(sha256: string, signal: AbortSignal): Promise<PeerSource[]> {
    return new Promise((resolve) => {
      const end = (sources: PeerSource[]) => {
        clearTimeout(timer);
        signal.removeEventListener('abort', none);
        this.#waiting.delete(sha256);
        resolve(sources);
      };
      const none = () => end([]);
      const timer = setTimeout(() => {
        this.#unanswered++;
        none();
      }, this.#parts.patienceMs ?? PATIENCE_MS);
      signal.addEventListener('abort', none, { once: true });
      this.#waiting.set(sha256, end);
    });
  }
}
