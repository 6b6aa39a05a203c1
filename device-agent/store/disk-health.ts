/** I/O errors on this many objects within the window say that it is the disk, not the objects. */
export const SUSPECT_OBJECTS = 3;
const WINDOW_MS = 600_000;
/** A disk that was left alone is tried again after this long, doubling up to the other, ms. */
export const QUARANTINE_MS = 60_000;
const LONGEST_QUARANTINE_MS = 3_600_000;

/** What the kernel says when a device cannot read or write what it should, rather than who asked wrongly. */
const MEDIUM_ERRORS = new Set(['EIO', 'EUCLEAN', 'EBADMSG', 'EREMOTEIO', 'ENODATA', 'EILSEQ', 'ETIMEDOUT']);

export function isMediumError(errno: string): boolean {
  return MEDIUM_ERRORS.has(errno);
}

/**
 * Tells a bad spot from a bad disk: errors are counted by object, and once several objects have had some, the
 * disk is left alone for a while, and for longer each time.
 */
export class DiskHealth {
  readonly #firstMs: number;
  /** When each object last had an error. Bounded: at `SUSPECT_OBJECTS` it is emptied. */
  readonly #errors = new Map<string, number>();
  #untilMs = 0;
  #spanMs = 0;
  #quarantined = false;

  constructor(firstMs = QUARANTINE_MS) {
    this.#firstMs = firstMs;
  }

  /** No reads or writes are to be made, but the one of `mayProbe`. */
  get quarantined(): boolean {
    return this.#quarantined;
  }
  /** A look may now ask the disk whether it works. */
  mayProbe(nowMs: number): boolean {
    return nowMs >= this.#untilMs;
  }

  /** @returns true when the disk is to be left alone from now on */
  note(object: string, nowMs: number): boolean {
    if (this.#quarantined) return true;
    for (const [name, atMs] of this.#errors) if (nowMs - atMs > WINDOW_MS) this.#errors.delete(name);
    this.#errors.set(object, nowMs);
    if (this.#errors.size >= SUSPECT_OBJECTS) this.#leaveAlone(nowMs);
    return this.#quarantined;
  }

  /** A probe has failed. */
  stillBad(nowMs: number): void {
    this.#leaveAlone(nowMs);
  }
  /** A probe has succeeded. What was bad before must show again. */
  recovered(): void {
    this.#quarantined = false;
    this.#errors.clear();
  }
  /** Another disk, or the same plugged in again: judged afresh. */
  reset(): void {
    this.recovered();
    this.#spanMs = 0;
    this.#untilMs = 0;
  }

  #leaveAlone(nowMs: number): void {
    // Long after the last time it is the first time again.
    const calm = nowMs - this.#untilMs > LONGEST_QUARANTINE_MS;
    this.#spanMs =
      this.#spanMs === 0 || calm ? this.#firstMs : Math.min(this.#spanMs * 2, LONGEST_QUARANTINE_MS);
    this.#untilMs = nowMs + this.#spanMs;
    this.#quarantined = true;
    this.#errors.clear();
  }
}
