import type { Clock } from '#agent/time/clock.ts';

/** RFC 9111 section 1.2.2: older than can be said. */
const OLDEST_S = 2 ** 31;

/**
 * How old a held copy is: the Age header (RFC 9111 section 5.1), which a cache must send. Age counts from when the
 * origin, or who speaks for it, last said that this is the content. For a pushed copy that is the fleet, which
 * tells every box at once when an asset is replaced or purged: while the link to it is up, each copy is as good as
 * validated now, and Age is 0, so that the tenant's max-age means to a client what it means at the origin. Counted
 * from the day of the push instead, every copy would be stale at once and be asked for again and again. While the
 * link is down a purge could have been missed: Age grows from then, and clients do not keep for another max-age
 * what may be gone. Since the start without a link, the fleet's last word is the asset's own assignment.
 *
 * Cache-Control goes out as the origin wrote it. How long the box itself may serve the copy is the fleet's TTL and
 * says nothing about clients.
 */
export class Validity {
  readonly #clock: Clock;
  #linked = false;
  /** Monotonic ms; null: not linked since the start. */
  #lostAtMs: number | null = null;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** The link to the fleet has come up, or gone. */
  setLinked(linked: boolean): void {
    if (this.#linked && !linked) this.#lostAtMs = this.#clock.monotonic();
    this.#linked = linked;
  }

  /**
   * Whole seconds for the Age header of an asset.
   * @param issuedAtMs when the fleet assigned it, fleet time
   */
  ageSeconds(issuedAtMs: number): number {
    if (this.#linked) return 0;
    const now = this.#clock.fleetNow();
    const sinceIssueMs = now === null ? Number.POSITIVE_INFINITY : now - issuedAtMs;
    const sinceLinkMs =
      this.#lostAtMs === null ? Number.POSITIVE_INFINITY : this.#clock.monotonic() - this.#lostAtMs;
    // Assigned after the link was lost it cannot be, but a restart forgets when that was.
    const ageMs = Math.max(0, Math.min(sinceIssueMs, sinceLinkMs));
    return ageMs === Number.POSITIVE_INFINITY ? OLDEST_S : Math.min(OLDEST_S, Math.floor(ageMs / 1000));
  }
}
