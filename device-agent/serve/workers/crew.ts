import { randomBytes } from 'node:crypto';
import type { FrontLimits } from '../limits.ts';
import type { Certificate } from '../tls/certificates.ts';
import type { Arrival, WorkerParts } from './worker-process.ts';
import { WorkerProcess } from './worker-process.ts';

export interface CrewParts extends WorkerParts {
  /** How many. */
  count: number;
  /** Of all of them together. */
  limits: FrontLimits;
  /** A connection that no worker can take. */
  takeBack: (arrival: Arrival) => void;
}

/** A worker that has ended is replaced after this long, doubling up to the other, ms. */
const AGAIN_MS = 100;
const LONGEST_AGAIN_MS = 30_000;
/** One that lived for so long has ended by chance, not by the start, ms. */
const LIVED_MS = 60_000;
/** How often workers are asked for a sign of life, ms; how often one may owe it before it is replaced. */
const LOOK_MS = 2_000;
const MOST_SILENT = 15;
/** A worker that was told to end is waited for so much longer than it was given, ms. */
const GRACE_MS = 3_000;
/** With more withdrawn in one turn than this, workers are told to forget all. */
const MOST_WITHDRAWN = 256;

/** A place for a worker: when one dies, another takes it. */
interface Place {
  worker: WorkerProcess | null;
  beganAtMs: number;
  againMs: number;
  timer: NodeJS.Timeout | null;
  silent: number;
}

/** The worker processes: starts them, deals connections out among them, replaces those that die. */
export class Crew {
  readonly #parts: CrewParts;
  readonly #places: Place[];
  readonly #ticketKeys = randomBytes(48).toString('base64');
  readonly #timer: NodeJS.Timeout;
  #certificate: Certificate | null = null;
  #withdrawn = new Map<string, boolean>();
  #isWithdrawing = false;
  #ending = false;
  #waiters: (() => void)[] = [];

  constructor(parts: CrewParts) {
    this.#parts = parts;
    this.#places = Array.from({ length: parts.count }, () => ({
      worker: null,
      beganAtMs: 0,
      againMs: AGAIN_MS,
      timer: null,
      silent: 0,
    }));
    for (const place of this.#places) this.#start(place);
    this.#timer = setInterval(() => this.#look(), LOOK_MS);
    this.#timer.unref();
  }

  /** Process ids of those that live. */
  get pids(): number[] {
    return this.#workers().flatMap((worker) => worker.pid ?? []);
  }

  /** Connections in the fast lanes of all. */
  get fastConnections(): number {
    return this.#workers().reduce((total, worker) => total + worker.fastConnections, 0);
  }

  /** Resolves when every worker takes connections. */
  async ready(): Promise<void> {
    while (this.#workers().filter((worker) => worker.isReady).length < this.#parts.count) {
      await new Promise<void>((resolve) => this.#waiters.push(resolve));
    }
  }

  /** Takes a connection of which nothing has been read: to the worker that has fewest, or back where it came from. */
  take(arrival: Arrival): void {
    let least: WorkerProcess | null = null;
    for (const worker of this.#workers()) {
      if (worker.isReady && (least === null || worker.load < least.load)) least = worker;
    }
    if (least) least.take(arrival);
    else this.#parts.takeBack(arrival);
  }

  /** New connections use this certificate. */
  secure(certificate: Certificate): void {
    this.#certificate = certificate;
    for (const worker of this.#workers()) worker.secure(certificate);
  }

  /** As `Front.withdraw`. */
  withdraw(key: string, damaged: boolean): void {
    this.#withdrawn.set(key, damaged || (this.#withdrawn.get(key) ?? false));
    if (damaged) this.#tellWithdrawn();
    else if (!this.#isWithdrawing) {
      this.#isWithdrawing = true;
      // Before anything that is decided from now on is told: that goes later in this turn, or in another.
      queueMicrotask(() => this.#tellWithdrawn());
    }
  }

  /** The disk has gone. */
  withdrawAll(): void {
    this.#withdrawn.clear();
    for (const worker of this.#workers()) worker.withdrawAll();
  }

  #tellWithdrawn(): void {
    this.#isWithdrawing = false;
    const withdrawn = this.#withdrawn;
    this.#withdrawn = new Map();
    for (const worker of this.#workers()) {
      if (withdrawn.size > MOST_WITHDRAWN) worker.withdrawAll();
      for (const [key, damaged] of withdrawn) {
        if (damaged || withdrawn.size <= MOST_WITHDRAWN) worker.withdraw(key, damaged);
      }
    }
  }

  /** Lets responses end within `boundMs`, and ends all workers. */
  async drain(boundMs: number): Promise<void> {
    this.#ending = true;
    clearInterval(this.#timer);
    for (const { timer } of this.#places) if (timer) clearTimeout(timer);
    for (const worker of this.#workers()) worker.drain(boundMs);
    const late = setTimeout(() => {
      for (const worker of this.#workers()) worker.kill();
    }, boundMs + GRACE_MS);
    while (this.#workers().length > 0) await new Promise<void>((resolve) => this.#waiters.push(resolve));
    clearTimeout(late);
  }

  #workers(): WorkerProcess[] {
    return this.#places.flatMap(({ worker }) => worker ?? []);
  }

  #start(place: Place): void {
    place.timer = null;
    place.silent = 0;
    place.beganAtMs = this.#parts.clock.monotonic();
    const { limits, count } = this.#parts;
    // What they keep in memory is together what one process would keep.
    const openFiles = Math.floor(limits.openFiles / count);
    const piecesBytes = Math.floor(limits.piecesBytes / count);
    const settings = { limits: { ...limits, openFiles, piecesBytes }, ticketKeys: this.#ticketKeys };
    place.worker = new WorkerProcess(this.#parts, settings, this.#certificate, {
      ready: () => this.#wake(),
      gone: (why, arrivals) => this.#gone(place, why, arrivals),
    });
  }

  #gone(place: Place, why: string, arrivals: Arrival[]): void {
    const pid = place.worker?.pid;
    place.worker = null;
    for (const arrival of arrivals) this.take(arrival);
    this.#wake();
    if (this.#ending) return;
    const { log, clock } = this.#parts;
    if (clock.monotonic() - place.beganAtMs > LIVED_MS) place.againMs = AGAIN_MS;
    log.warn(
      { worker: pid, reason: why, againMs: place.againMs },
      'a worker has ended; another takes its place',
    );
    place.timer = setTimeout(() => this.#start(place), place.againMs);
    place.againMs = Math.min(LONGEST_AGAIN_MS, place.againMs * 2);
  }

  /** Replaces workers that hang: their connections are lost either way. */
  #look(): void {
    for (const place of this.#places) {
      if (!place.worker) continue;
      place.silent = place.worker.look() ? 0 : place.silent + 1;
      if (place.silent < MOST_SILENT) continue;
      this.#parts.log.error({ worker: place.worker.pid }, 'a worker does not answer, and is ended');
      place.worker.kill();
    }
  }

  #wake(): void {
    const waiters = this.#waiters;
    this.#waiters = [];
    for (const wake of waiters) wake();
  }
}
