import { isIPv4, isIPv6 } from 'node:net';
import { Flows } from './flows.ts';

/** Time, passed in so that tests can turn it by hand. */
export interface Timers {
  /** Milliseconds that only grow. */
  now(): number;
  /** Calls back once; the answer undoes it. */
  after(ms: number, call: () => void): () => void;
}

export const REAL_TIMERS: Timers = {
  now: () => performance.now(),
  after: (ms, call) => {
    const timer = setTimeout(call, ms);
    return () => clearTimeout(timer);
  },
};

/** Answer of a budget that cannot say yet; it wakes the shaper when it can. */
export const LATER = -1;

/** What stands above the rate: the month's quota and its book-keeping. */
export interface Budget {
  /** How many of these bytes may go now, counted as gone; 0: none, and none later; LATER: ask again. */
  take(bytes: number): number;
  /** Counts bytes that had to go without asking. */
  force(bytes: number): void;
  /** Bytes that were taken and have not gone. */
  giveBack(bytes: number): void;
}

const NO_BUDGET: Budget = { take: (bytes) => bytes, force: () => undefined, giveBack: () => undefined };

/** What may go at once after a pause, as time at full rate: 2.5 % of the ten seconds the cap is judged by, ms. */
const BURST_MS = 250;
/** Bytes that had to go unasked (heads) are made up for within this, ms: a flood of them must not block for hours. */
const MOST_DEBT_MS = 2_000;
/** Least and most that one grant gives where there is a choice, bytes. */
const LEAST_GRANT = 1_460;
const MOST_GRANT = 64 * 1024;
/** Waiters at once; there is one for each response and download connection, so this is never met in peace. */
const MOST_WAITERS = 8_192;
/** Grants are given out at this distance, ms: finer costs timers and changes nothing that can be felt. */
const TICK_MS = 5;

/**
 * A cap on one direction, over all connections: a token bucket, so that no window of t seconds sees more than
 * `rate * (t + 0.25)` bytes; what it has to give goes to the flows in fair turns. Without a cap it costs a
 * comparison. Counted are the bytes handed to the kernel or read from it, payload and heads; not what TLS, TCP and
 * IP add (4 % with full packets).
 */
export class Shaper {
  readonly #timers: Timers;
  readonly #budget: Budget;
  readonly #flows = new Flows();
  /** Bytes a millisecond; null: no cap. */
  #rate: number | null = null;
  #tokens = 0;
  #burst = 0;
  #filledAtMs = 0;
  #open = true;
  #timer: (() => void) | null = null;
  #taken = 0;

  constructor(timers: Timers = REAL_TIMERS, budget: Budget = NO_BUDGET) {
    this.#timers = timers;
    this.#budget = budget;
  }

  /** Bytes a second; null: no cap. */
  get bytesPerSecond(): number | null {
    return this.#rate === null ? null : this.#rate * 1000;
  }

  /** Bytes granted since the start, less those given back. */
  get takenBytes(): number {
    return this.#taken;
  }

  get waiters(): number {
    return this.#flows.waiters;
  }

  /** Holds from now on, for those that wait as well. @param bytesPerSecond null: no cap */
  setRate(bytesPerSecond: number | null): void {
    if (bytesPerSecond === this.bytesPerSecond) return;
    this.#fill();
    const burst = bytesPerSecond === null ? 0 : Math.max(1, (bytesPerSecond * BURST_MS) / 1000);
    this.#rate = bytesPerSecond === null ? null : bytesPerSecond / 1000;
    this.#burst = burst;
    this.#flows.catchUpBytes = burst;
    this.#filledAtMs = this.#timers.now();
    this.wake();
  }

  /** False: nothing goes any more, and those that wait are told so at once. */
  setOpen(open: boolean): void {
    this.#open = open;
    if (!open) this.#refuseAll();
  }

  /**
   * Asks for bytes to be sent or read.
   * @param flow whose they are: see `flowOfAddress`
   * @param bytes at least 1
   * @param signal an abort ends the wait with 0
   * @returns how many may go now, 1 to `bytes`; 0: none, and none later (paused, month used up, too many wait):
   * end the response. A number where nothing has to be waited for, a promise otherwise.
   */
  take(flow: string, bytes: number, signal?: AbortSignal): number | Promise<number> {
    const now = this.#takeNow(flow, bytes);
    if (now !== LATER) return now;
    return new Promise((resolve) => {
      const cancel = () => {
        undo();
        resolve(0);
      };
      const undo = this.#queue(flow, bytes, (granted) => {
        signal?.removeEventListener('abort', cancel);
        resolve(granted);
      });
      if (signal?.aborted) cancel();
      else signal?.addEventListener('abort', cancel, { once: true });
    });
  }

  /**
   * As `take`, without a promise for each wait.
   * @param granted called once, later, if a function is returned
   * @returns the bytes granted, or what cancels the wait
   */
  ask(flow: string, bytes: number, granted: (bytes: number) => void): number | (() => void) {
    const now = this.#takeNow(flow, bytes);
    return now === LATER ? this.#queue(flow, bytes, granted) : now;
  }

  /** Counts bytes that have to go without asking (the head of an answer): what follows waits for them. */
  spend(bytes: number): void {
    this.#taken += bytes;
    this.#budget.force(bytes);
    if (this.#rate === null) return;
    this.#fill();
    this.#tokens = Math.max(this.#tokens - bytes, -this.#rate * MOST_DEBT_MS);
  }

  /** Bytes that were granted and will not go: the client has left. */
  giveBack(bytes: number): void {
    this.#taken -= bytes;
    this.#budget.giveBack(bytes);
    if (this.#rate === null) return;
    this.#tokens = Math.min(this.#tokens + bytes, this.#burst);
    this.wake();
  }

  /** Something has changed for those that wait. */
  wake(): void {
    this.#timer?.();
    this.#timer = null;
    this.#hand();
  }

  /** Nothing goes any more; those that wait get 0. */
  close(): void {
    this.setOpen(false);
  }

  /** A grant without a wait, 0, or LATER. */
  #takeNow(flow: string, bytes: number): number {
    if (!this.#open) return 0;
    if (this.#rate === null && this.#flows.waiters === 0) return this.#draw(flow, bytes);
    // Nobody overtakes those that wait.
    if (this.#flows.waiters > 0) return this.#flows.waiters < MOST_WAITERS ? LATER : 0;
    this.#fill();
    const grant = Math.min(bytes, this.#most(1));
    return this.#tokens < grant ? LATER : this.#draw(flow, grant);
  }

  /** Takes bytes out of the budget and the bucket. */
  #draw(flow: string, bytes: number): number {
    const drawn = this.#budget.take(bytes);
    if (drawn <= 0) return drawn;
    this.#taken += drawn;
    if (this.#rate !== null) {
      this.#tokens -= drawn;
      this.#flows.charge(flow, drawn);
    }
    return drawn;
  }

  #queue(flow: string, bytes: number, granted: (bytes: number) => void): () => void {
    const waiter = this.#flows.add(flow, bytes, granted);
    if (!this.#timer) this.#schedule();
    return () => {
      // The turn it had may now be another's.
      if (this.#flows.remove(waiter) && this.#flows.waiters === 0) {
        this.#timer?.();
        this.#timer = null;
      }
    };
  }

  /** One turn's grant: small when many wait, so that each has its turn within a fraction of a second. */
  #most(flows: number): number {
    return Math.min(this.#burst, Math.max(LEAST_GRANT, Math.min(MOST_GRANT, this.#burst / flows))) | 0 || 1;
  }

  #fill(): void {
    if (this.#rate === null) return;
    const now = this.#timers.now();
    this.#tokens = Math.min(this.#burst, this.#tokens + Math.max(0, now - this.#filledAtMs) * this.#rate);
    this.#filledAtMs = now;
  }

  /** Gives out what there is. */
  #hand(): void {
    this.#fill();
    let waiter = this.#flows.next();
    while (waiter) {
      if (!this.#open) {
        this.#refuseAll();
        return;
      }
      const grant =
        this.#rate === null ? waiter.wantBytes : Math.min(waiter.wantBytes, this.#most(this.#flows.active));
      if (this.#rate !== null && this.#tokens < grant) break;
      const drawn = this.#draw(waiter.flow.name, grant);
      // The budget wakes us when it can say more.
      if (drawn === LATER) return;
      this.#flows.remove(waiter);
      waiter.granted(drawn);
      waiter = this.#flows.next();
    }
    if (waiter && !this.#timer) this.#schedule();
  }

  /** Comes back when the next in turn can have its grant. */
  #schedule(): void {
    const next = this.#flows.next();
    if (!next || this.#rate === null) return;
    this.#fill();
    const missing = Math.min(next.wantBytes, this.#most(this.#flows.active)) - this.#tokens;
    const ms = Math.max(TICK_MS, Math.ceil(missing / this.#rate));
    this.#timer = this.#timers.after(ms, () => {
      this.#timer = null;
      this.#hand();
    });
  }

  #refuseAll(): void {
    this.#timer?.();
    this.#timer = null;
    for (let waiter = this.#flows.next(); waiter; waiter = this.#flows.next()) {
      this.#flows.remove(waiter);
      waiter.granted(0);
    }
  }
}

/**
 * The flow a client's address belongs to: IPv4 one by one, IPv6 by /64, which is what one household has. Else a
 * client could have a share for each of its 2^64 addresses.
 */
export function flowOfAddress(address: string | undefined): string {
  if (!address) return '';
  if (address.startsWith('::ffff:') && isIPv4(address.slice(7))) return address.slice(7);
  if (!isIPv6(address)) return address;
  const [head = '', tail] = (address.split('%')[0] ?? '').split('::');
  const groups = head === '' ? [] : head.split(':');
  const after = tail === undefined || tail === '' ? [] : tail.split(':');
  if (tail !== undefined) while (groups.length + after.length < 8) groups.push('0');
  return `${[...groups, ...after].slice(0, 4).join(':')}::/64`;
}
