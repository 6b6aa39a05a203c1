import type { Activity, ActivityKind } from '#protocol/http-box.ts';

const KEPT = 200;

/** The household's recent history, newest first, in memory only. */
export class ActivityLog {
  readonly #items: Activity[] = [];
  readonly #stamp: () => string;
  readonly #listeners: ((item: Activity) => void)[] = [];
  #seq = 0;

  constructor(stamp: () => string) {
    this.#stamp = stamp;
  }

  add(kind: ActivityKind, detail: Activity['detail'] = {}): void {
    const item = { seq: ++this.#seq, at: this.#stamp(), kind, detail };
    this.#items.unshift(item);
    if (this.#items.length > KEPT) this.#items.pop();
    for (const listener of this.#listeners) listener(item);
  }

  onAdd(listener: (item: Activity) => void): void {
    this.#listeners.push(listener);
  }

  list(): readonly Activity[] {
    return this.#items;
  }
}
