import { flowOfAddress } from '#shaping/shaper.ts';

export interface ClientLimits {
  /** Connections of one client that are served; of more each request is answered 429. 0: no bound. */
  connections: number;
  /** Requests of one client a second, in the long run; ten times as many at once. 0: no bound. */
  requestsPerSecond: number;
  /** Bounds for who asks from this very machine too. */
  loopback: boolean;
}

/**
 * A whole household, office or mobile carrier may come from one address, and a page asks by six connections: a bound
 * that stops one program from taking the box for itself, and nobody else. Who asks from the box itself (its tunnel to
 * a relay, a proxy in front of it) speaks for many and has none.
 */
export const CLIENT_LIMITS: ClientLimits = { connections: 256, requestsPerSecond: 200, loopback: false };

const BURST_S = 10;
/** Clients remembered; those without a connection go first. */
const MOST_CLIENTS = 4_096;

/** Who asks, by address: IPv6 by /64, which is what one household has. */
export class Client {
  readonly flow: string;
  connections = 0;
  readonly #burst: number;
  readonly #perMs: number;
  #tokens: number;
  #filledAtMs: number;

  constructor(flow: string, requestsPerSecond: number, nowMs: number) {
    this.flow = flow;
    this.#perMs = requestsPerSecond / 1000;
    this.#burst = requestsPerSecond * BURST_S;
    this.#tokens = this.#burst;
    this.#filledAtMs = nowMs;
  }

  /** Counts a request. @returns ms after which the next will be taken if this one is too many, else 0 */
  ask(nowMs: number): number {
    if (this.#perMs === 0) return 0;
    this.#tokens = Math.min(this.#burst, this.#tokens + (nowMs - this.#filledAtMs) * this.#perMs);
    this.#filledAtMs = nowMs;
    if (this.#tokens < 1) return (1 - this.#tokens) / this.#perMs;
    this.#tokens--;
    return 0;
  }
}

/** Clients by address, bounded. */
export class Clients {
  readonly #limits: ClientLimits;
  readonly #clients = new Map<string, Client>();

  constructor(limits: ClientLimits) {
    this.#limits = limits;
  }

  get size(): number {
    return this.#clients.size;
  }

  /** The client behind an address; its connections are the caller's to count. */
  of(address: string | undefined, nowMs: number): Client {
    const flow = flowOfAddress(address);
    let client = this.#clients.get(flow);
    if (!client) {
      if (this.#clients.size >= MOST_CLIENTS) this.#forget();
      client = new Client(flow, this.#isBound(flow) ? this.#limits.requestsPerSecond : 0, nowMs);
      this.#clients.set(flow, client);
    }
    return client;
  }

  /** More connections than one client may have. */
  isOverrun(client: Client): boolean {
    const { connections } = this.#limits;
    return connections > 0 && client.connections > connections && this.#isBound(client.flow);
  }

  #isBound(flow: string): boolean {
    return this.#limits.loopback || !(flow.startsWith('127.') || flow === '0:0:0:0::/64');
  }

  /** Half of those without a connection, the longest known first; if none, all: their bounds begin anew. */
  #forget(): void {
    let left = this.#clients.size / 2;
    for (const [flow, client] of this.#clients) {
      if (left <= 0) return;
      if (client.connections > 0) continue;
      this.#clients.delete(flow);
      left--;
    }
    if (this.#clients.size >= MOST_CLIENTS) this.#clients.clear();
  }
}
