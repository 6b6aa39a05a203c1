/** Disks that say "written" too early have it written by then, ms. */
const SETTLE_MS = 5_000;

/** What was committed a short while ago: after some time, unless something happens to it first, it is safe. */
export class Settling {
  readonly #settle: (sha256: string) => Promise<void>;
  readonly #afterMs: number;
  /** When each is due; in the order in which they are. */
  readonly #due = new Map<string, number>();
  readonly #underWay = new Map<string, Promise<void>>();
  #timer: NodeJS.Timeout | null = null;

  constructor(settle: (sha256: string) => Promise<void>, afterMs = SETTLE_MS) {
    this.#settle = settle;
    this.#afterMs = afterMs;
  }

  /** From now on it is due after a while; without a while to wait, at once. */
  async add(sha256: string): Promise<void> {
    if (this.#afterMs === 0) return this.#settle(sha256);
    this.#due.delete(sha256);
    this.#due.set(sha256, performance.now() + this.#afterMs);
    this.#arm();
  }

  /** It is not to be settled; resolves when that is certain. */
  async forget(sha256: string): Promise<void> {
    this.#due.delete(sha256);
    await this.#underWay.get(sha256);
  }

  /** Settles all at once. */
  async close(): Promise<void> {
    if (this.#timer) clearTimeout(this.#timer);
    for (const sha256 of [...this.#due.keys()]) this.#begin(sha256);
    await Promise.all(this.#underWay.values());
  }

  #arm(): void {
    const [soonest] = this.#due.values();
    if (this.#timer || soonest === undefined) return;
    this.#timer = setTimeout(
      () => {
        this.#timer = null;
        const now = performance.now();
        for (const [sha256, dueMs] of this.#due) if (dueMs <= now) this.#begin(sha256);
        this.#arm();
      },
      Math.max(0, soonest - performance.now()),
    );
    this.#timer.unref();
  }

  #begin(sha256: string): void {
    this.#due.delete(sha256);
    // One that fails (the disk has gone) stays as it is, and is verified at the next start.
    const work = this.#settle(sha256)
      .catch(() => undefined)
      .finally(() => this.#underWay.delete(sha256));
    this.#underWay.set(sha256, work);
  }
}
