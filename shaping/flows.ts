/** One that waits for bytes. */
export interface Waiter {
  readonly flow: Flow;
  readonly wantBytes: number;
  readonly granted: (bytes: number) => void;
}

/** Everything one client (or one source) asks for, over all its connections. */
export interface Flow {
  readonly name: string;
  /** Bytes it was granted, as virtual time: who has least is served first. */
  tag: number;
  readonly waiting: Set<Waiter>;
  /** Its place in the heap; -1: it waits for nothing. */
  place: number;
}

/** Flows nobody waits in that are remembered; beyond it, those with nothing to catch up are forgotten. */
const MOST_IDLE = 512;

/**
 * Fair queuing by virtual time (as start-time fair queuing, SFQ): the flow with the smallest tag is next, and each
 * grant moves its tag on. A client that is away for the moment between two slices finds its missed share again, up
 * to `catchUpBytes`; without this one with many connections, always waiting, would take it.
 */
export class Flows {
  /** How far behind the others a returning flow may stand, bytes. */
  catchUpBytes = 0;
  readonly #flows = new Map<string, Flow>();
  /** A binary heap of the flows that wait, by tag. */
  readonly #heap: Flow[] = [];
  #now = 0;
  #waiters = 0;
  #sweepAt = MOST_IDLE;

  /** How many wait. */
  get waiters(): number {
    return this.#waiters;
  }

  /** Flows that wait. */
  get active(): number {
    return this.#heap.length;
  }

  /** Notes bytes that a flow was given. */
  charge(name: string, bytes: number): void {
    const flow = this.#flow(name);
    this.#now = Math.max(this.#now, flow.tag);
    flow.tag += bytes;
    if (flow.place >= 0) this.#sink(flow.place);
  }

  add(name: string, wantBytes: number, granted: (bytes: number) => void): Waiter {
    const flow = this.#flow(name);
    const waiter: Waiter = { flow, wantBytes, granted };
    flow.waiting.add(waiter);
    this.#waiters++;
    if (flow.place < 0) {
      flow.place = this.#heap.push(flow) - 1;
      this.#rise(flow.place);
    }
    return waiter;
  }

  /** Who is next: the longest waiting of the flow that had least. */
  next(): Waiter | null {
    const first = this.#heap[0]?.waiting.values().next();
    return first?.value ?? null;
  }

  /** Takes one out. @returns false when it does not wait any more */
  remove(waiter: Waiter): boolean {
    const { flow } = waiter;
    if (!flow.waiting.delete(waiter)) return false;
    this.#waiters--;
    if (flow.waiting.size === 0) this.#leave(flow);
    return true;
  }

  #flow(name: string): Flow {
    const earliest = this.#now - this.catchUpBytes;
    let flow = this.#flows.get(name);
    if (!flow) {
      // One never seen has missed nothing.
      flow = { name, tag: this.#now, waiting: new Set(), place: -1 };
      this.#flows.set(name, flow);
      if (this.#flows.size - this.#heap.length > this.#sweepAt) this.#sweep(earliest);
    } else if (flow.place < 0 && flow.tag < earliest) {
      flow.tag = earliest;
    }
    return flow;
  }

  /** Forgets flows that nobody waits in: those with a tag of long ago, or all if that does not help. */
  #sweep(earliest: number): void {
    for (const bound of [earliest, Number.POSITIVE_INFINITY]) {
      for (const [name, flow] of this.#flows) {
        if (flow.place < 0 && flow.tag <= bound && flow.tag !== this.#now) this.#flows.delete(name);
      }
      if (this.#flows.size - this.#heap.length <= this.#sweepAt / 2) return;
    }
  }

  #leave(flow: Flow): void {
    const last = this.#heap.pop();
    const place = flow.place;
    flow.place = -1;
    if (!last || last === flow) return;
    this.#heap[place] = last;
    last.place = place;
    this.#rise(place);
    this.#sink(last.place);
  }

  #rise(from: number): void {
    let place = from;
    const flow = this.#heap[place];
    if (!flow) return;
    while (place > 0) {
      const above = (place - 1) >> 1;
      const parent = this.#heap[above];
      if (!parent || parent.tag <= flow.tag) break;
      this.#put(parent, place);
      place = above;
    }
    this.#put(flow, place);
  }

  #sink(from: number): void {
    let place = from;
    const flow = this.#heap[place];
    if (!flow) return;
    for (;;) {
      let below = 2 * place + 1;
      let child = this.#heap[below];
      const right = this.#heap[below + 1];
      if (child && right && right.tag < child.tag) {
        child = right;
        below++;
      }
      if (!child || child.tag >= flow.tag) break;
      this.#put(child, place);
      place = below;
    }
    this.#put(flow, place);
  }

  #put(flow: Flow, place: number): void {
    this.#heap[place] = flow;
    flow.place = place;
  }
}
