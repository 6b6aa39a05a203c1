/** What stands in a queue of this kind, in one at a time. */
export interface Queued<T> {
  next: T | null;
  previous: T | null;
}

/** First in, first out, and out of the middle as well: a doubly linked list through its own entries. */
export class Fifo<T extends Queued<T>> {
  #first: T | null = null;
  #last: T | null = null;

  get oldest(): T | null {
    return this.#first;
  }

  push(entry: T): void {
    entry.previous = this.#last;
    entry.next = null;
    if (this.#last) this.#last.next = entry;
    else this.#first = entry;
    this.#last = entry;
  }

  remove(entry: T): void {
    if (entry.previous) entry.previous.next = entry.next;
    else this.#first = entry.next;
    if (entry.next) entry.next.previous = entry.previous;
    else this.#last = entry.previous;
    entry.next = null;
    entry.previous = null;
  }
}
