import type { Activity, ActivityKind } from '#protocol/http-box.ts';

const KEPT = 200;

/** The household's recent history, newest first, in memory only. */
export class ActivityLog {
  readonly #items: Activity[] = [];
  readonly #stamp: () => string;
  #seq = 0;

  constructor(stamp: () => string) {
    this.#stamp = stamp;
  }

  add(kind: ActivityKind, detail: Activity['detail'] = {}): void {
    this.#items.unshift({ seq: ++this.#seq, at: this.#stamp(), kind, detail });
    if (this.#items.length > KEPT) this.#items.pop();
  }

  list(): readonly Activity[] {
    return this.#items;
  }
}
