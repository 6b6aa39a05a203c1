import { kindOf, networkOf } from '#protocol/addresses.ts';
import type { DialCode } from '#protocol/reach.ts';

/** Ports content may be served on: those of the web, and what no system keeps for its own services (RFC 6335). */
const mayBeContent = (port: number) => port === 80 || port === 443 || port >= 1024;

const WINDOW_MS = 3_600_000;
/** Dials a box may ask for in an hour; those the fleet makes of its own accord are not counted. */
export const ASKED_PER_HOUR = 120;
/** Pairs of address and port a box may have dialled in an hour. */
export const TARGETS_PER_HOUR = 30;
/** Networks other than the one it connects from that a box may have dialled in an hour. */
export const FOREIGN_PER_HOUR = 6;
const MOST_BOXES = 100_000;

interface Spent {
  sinceMs: number;
  asked: number;
  targets: Set<string>;
  foreign: Set<string>;
}

/**
 * Decides what the fleet dials for a box, so that no box can make it scan. A box is dialled at the address it is
 * connected from; at another public one only a few in an hour (a household may have two lines, and IPv4 beside IPv6),
 * since what a router told a box the fleet cannot check. Nothing private unless the operator wants it so.
 */
export class DialPolicy {
  readonly #allowPrivate: boolean;
  readonly #now: () => number;
  readonly #spent = new Map<string, Spent>();

  constructor(allowPrivate: boolean, now: () => number = Date.now) {
    this.#allowPrivate = allowPrivate;
    this.#now = now;
  }

  /**
   * Whether the box may have this dialled; what is new is taken from its budget.
   * @param address already resolved: what will be connected to, never a name
   * @param connectedFrom the box's address as its broker sees it; null: unknown
   * @returns null when it may be dialled
   */
  refuse(boxId: string, address: string, port: number, connectedFrom: string | null): DialCode | null {
    const kind = kindOf(address);
    if (kind === null || kind === 'reserved') return 'forbidden_address';
    if (kind !== 'public' && !this.#allowPrivate) return 'forbidden_address';
    if (!mayBeContent(port)) return 'forbidden_port';
    // What an operator lets be dialled inside is the operator's own machine.
    if (kind !== 'public') return null;
    const spent = this.#spentBy(boxId);
    const target = `${address} ${port}`;
    if (spent.targets.has(target)) return null;
    if (spent.targets.size >= TARGETS_PER_HOUR) return 'rate_limited';
    const network = networkOf(address) ?? address;
    if (connectedFrom === null || network !== networkOf(connectedFrom)) {
      if (!spent.foreign.has(network) && spent.foreign.size >= FOREIGN_PER_HOUR) return 'rate_limited';
      spent.foreign.add(network);
    }
    spent.targets.add(target);
    return null;
  }

  /** A box asks for a dial. @returns false when it asks too often */
  mayAsk(boxId: string): boolean {
    return this.#spentBy(boxId).asked++ < ASKED_PER_HOUR;
  }

  #spentBy(boxId: string): Spent {
    const nowMs = this.#now();
    const known = this.#spent.get(boxId);
    if (known && nowMs - known.sinceMs < WINDOW_MS) return known;
    this.#spent.delete(boxId);
    // What began longest ago goes first.
    const oldest = this.#spent.keys().next().value;
    if (this.#spent.size >= MOST_BOXES && oldest !== undefined) this.#spent.delete(oldest);
    const fresh: Spent = { sinceMs: nowMs, asked: 0, targets: new Set(), foreign: new Set() };
    this.#spent.set(boxId, fresh);
    return fresh;
  }
}
