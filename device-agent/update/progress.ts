import { clip } from '#protocol/messages.ts';
import type { Artefact, UpdateOrder, UpdateProgress } from '#protocol/release.ts';
import type { UpdateRecord } from './memory.ts';

/** Progress of a download is told this often at most, ms. */
const TELL_EVERY_MS = 2_000;

/** How the update stands, and when that is news. */
export class Progress {
  readonly #onNews: () => void;
  readonly #now: () => number;
  #current: UpdateProgress | null = null;
  #toldAt = Number.NEGATIVE_INFINITY;

  constructor(onNews: () => void, now: () => number = () => performance.now()) {
    this.#onNews = onNews;
    this.#now = now;
  }

  get current(): UpdateProgress | null {
    return this.#current;
  }

  say(
    { updateId, version }: UpdateOrder,
    state: UpdateProgress['state'],
    reason: { code: string; message: string } | null = null,
    artefact: Artefact | null = null,
    bytesDone = 0,
  ): void {
    const before = this.#current;
    this.#current = {
      updateId,
      version,
      state,
      bytesDone,
      sizeBytes: artefact?.sizeBytes ?? 0,
      reason: reason && { code: reason.code, message: clip(reason.message) },
    };
    const isNews =
      before?.updateId !== updateId || before.state !== state || before.reason?.code !== reason?.code;
    if (!isNews && (state !== 'downloading' || this.#now() - this.#toldAt < TELL_EVERY_MS)) return;
    this.#toldAt = this.#now();
    this.#onNews();
  }

  /** What is remembered of the last update is how it stands. */
  takeUp({ update }: UpdateRecord): void {
    this.#current = update && {
      updateId: update.updateId,
      version: update.version,
      state: update.state,
      bytesDone: 0,
      sizeBytes: 0,
      reason: update.reason && { code: clip(update.reason.code), message: clip(update.reason.message) },
    };
  }
}
