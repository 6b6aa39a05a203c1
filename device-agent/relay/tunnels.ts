import type { Logger } from 'pino';
import type { Backoff } from '#agent/time/backoff.ts';
import { backoffMs } from '#agent/time/backoff.ts';
import { messageOf } from '#protocol/errors.ts';
import type { TunnelParts } from './tunnel.ts';
import { Tunnel } from './tunnel.ts';

export const RELAY_BACKOFF: Backoff = { baseMs: 1_000, capMs: 60_000 };
/** Connected at once: when one relay goes, clients find the box at the other. */
export const KEPT = 2;

export interface RelayTunnelsParts extends TunnelParts {
  log: Logger;
  backoff?: Backoff;
  /** How one is dialled; default: at once. */
  dial?: typeof Tunnel.dial;
  /** Connections came or went. */
  onChange?: () => void;
}

interface Known {
  url: string;
  /** As last measured; unknown ones are tried first. */
  dialMs: number | null;
  attempt: number;
  notBeforeMs: number;
  problem: string | null;
}

/**
 * Keeps this box connected to its two nearest relays, as long as it is told of any. A relay that sends boxes away is
 * left once another one is reached, so that no client notices.
 */
export class RelayTunnels {
  readonly #parts: RelayTunnelsParts;
  readonly #backoff: Backoff;
  readonly #abort = new AbortController();
  readonly #open = new Map<string, Tunnel>();
  /** Those that are left while streams end on them included. */
  readonly #all = new Set<Tunnel>();
  #known = new Map<string, Known>();
  #dialling = 0;
  #timer: NodeJS.Timeout | null = null;

  constructor(parts: RelayTunnelsParts) {
    this.#parts = parts;
    this.#backoff = parts.backoff ?? RELAY_BACKOFF;
  }

  /** Where it is connected, nearest first. */
  get connected(): string[] {
    return [...this.#open.values()].sort((a, b) => a.dialMs - b.dialMs).map(({ url }) => url);
  }

  /** Why the others could not be reached, for a person. */
  get problems(): { url: string; problem: string }[] {
    return [...this.#known.values()].flatMap(({ url, problem }) => (problem ? [{ url, problem }] : []));
  }

  /** The relays there are, `tls://host:port` each; none: all connections are ended in peace. */
  use(urls: readonly string[]): void {
    const before = this.#known;
    this.#known = new Map(
      urls.map((url) => [
        url,
        before.get(url) ?? { url, dialMs: null, attempt: 0, notBeforeMs: 0, problem: null },
      ]),
    );
    for (const [url, tunnel] of this.#open) if (!this.#known.has(url)) tunnel.retire();
    this.#fill();
  }

  async close(): Promise<void> {
    this.#abort.abort();
    if (this.#timer) clearTimeout(this.#timer);
    const all = [...this.#all];
    for (const tunnel of all) tunnel.destroy();
    await Promise.all(all.map(({ closed }) => closed));
  }

  /** Dials as long as connections are missing. */
  #fill(): void {
    if (this.#timer) clearTimeout(this.#timer);
    this.#timer = null;
    if (this.#abort.signal.aborted) return;
    const now = performance.now();
    const candidates = [...this.#known.values()]
      .filter(({ url }) => !this.#open.has(url))
      .sort((a, b) => (a.dialMs ?? -1) - (b.dialMs ?? -1));
    for (const relay of candidates) {
      if (this.#open.size + this.#dialling >= KEPT) return;
      if (relay.notBeforeMs > now) continue;
      this.#dialling++;
      void this.#dial(relay).finally(() => {
        this.#dialling--;
        this.#fill();
      });
    }
    if (this.#open.size + this.#dialling >= KEPT) return;
    const soonest = Math.min(...candidates.map(({ notBeforeMs }) => notBeforeMs));
    if (Number.isFinite(soonest)) this.#timer = setTimeout(() => this.#fill(), Math.max(10, soonest - now));
  }

  async #dial(relay: Known): Promise<void> {
    const { dial = Tunnel.dial, log, onChange } = this.#parts;
    relay.notBeforeMs = Number.POSITIVE_INFINITY;
    const begunMs = performance.now();
    try {
      const tunnel = await dial(relay.url, this.#parts, this.#abort.signal);
      relay.dialMs = tunnel.dialMs;
      relay.problem = null;
      this.#open.set(relay.url, tunnel);
      this.#all.add(tunnel);
      log.info({ relay: relay.url }, 'connected to a relay');
      onChange?.();
      void this.#watch(relay, tunnel, begunMs);
    } catch (error) {
      relay.problem = messageOf(error);
      this.#later(relay);
      log.warn({ relay: relay.url, reason: relay.problem }, 'a relay cannot be reached');
    }
  }

  async #watch(relay: Known, tunnel: Tunnel, begunMs: number): Promise<void> {
    await tunnel.leaving;
    this.#open.delete(relay.url);
    // One that sent us away is about to stop; one that held for a while failed for the first time.
    if (performance.now() - begunMs > 10_000) relay.attempt = 0;
    this.#later(relay);
    this.#fill();
    this.#parts.onChange?.();
    await tunnel.closed;
    this.#all.delete(tunnel);
  }

  #later(relay: Known): void {
    relay.notBeforeMs = performance.now() + backoffMs(this.#backoff, relay.attempt++);
  }
}
