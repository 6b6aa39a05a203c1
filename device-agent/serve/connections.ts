import type { Socket } from 'node:net';
import type { Clock } from '#agent/time/clock.ts';
import type { Client, ClientLimits } from './clients.ts';
import { Clients } from './clients.ts';

/** Who asks by one connection, and what it may expect. */
export interface Visitor {
  readonly client: Client;
  /**
   * - `served`
   * - `turned_away`: the box has as many connections as it can serve, and the router knows others that have not
   * - `too_many`: the client has more connections than one client may have; another box would say the same
   */
  readonly standing: 'served' | 'turned_away' | 'too_many';
  /**
   * Breaks the connection off with what the kernel still holds for it: closed as usual it would go on for hours at the
   * pace of a client that takes a few bytes a minute, and megabytes with it.
   */
  readonly reset: () => void;
}

/** Connections above the bound that are told where to go instead; those beyond are closed without a word. */
const TURNED_AWAY_SHARE = 0.125;
const LEAST_TURNED_AWAY = 4;

/** One connection among those that are counted. */
export interface Admitted {
  readonly visitor: Visitor;
  /** It has closed. */
  readonly leave: () => void;
}

/** Every open connection, bounded in all and for each client. */
export class Connections {
  readonly #most: number;
  readonly #clients: Clients;
  readonly #clock: Clock;
  /** What closes each. */
  readonly #open = new Set<() => void>();

  constructor(most: number, limits: ClientLimits, clock: Clock) {
    this.#most = most;
    this.#clients = new Clients(limits);
    this.#clock = clock;
  }

  get size(): number {
    return this.#open.size;
  }

  /**
   * Takes a connection up until it closes.
   * @param address the client's, where the socket's is another
   * @returns null when there is no room even for a word: it is closed
   */
  enter(socket: Socket, address = socket.remoteAddress): Visitor | null {
    const admitted = this.admit(
      address,
      () => socket.destroy(),
      () => void socket.resetAndDestroy(),
    );
    if (!admitted) {
      socket.destroy();
      return null;
    }
    socket.once('close', admitted.leave);
    return admitted.visitor;
  }

  /**
   * As `enter`, for a connection whose socket is somewhere else.
   * @param destroy closes it
   */
  admit(address: string | undefined, destroy: () => void, reset: () => void): Admitted | null {
    const aboveMost = this.#open.size - this.#most;
    if (aboveMost >= Math.max(LEAST_TURNED_AWAY, this.#most * TURNED_AWAY_SHARE)) return null;
    const client = this.#clients.of(address, this.#clock.monotonic());
    client.connections++;
    let standing: Visitor['standing'] = aboveMost >= 0 ? 'turned_away' : 'served';
    if (this.#clients.isOverrun(client)) standing = 'too_many';
    const close = () => destroy();
    this.#open.add(close);
    const leave = () => {
      if (this.#open.delete(close)) client.connections--;
    };
    return { visitor: { client, standing, reset }, leave };
  }

  /** Who asks through a relay, by the relay's word: no connection of ours, so bounded by requests alone. */
  relayed(address: string): Visitor {
    const client = this.#clients.of(address, this.#clock.monotonic());
    const standing = this.#open.size >= this.#most ? 'turned_away' : 'served';
    return { client, standing, reset: () => undefined };
  }

  /** Closes whatever is still open. */
  destroyAll(): void {
    for (const close of this.#open) close();
  }
}
