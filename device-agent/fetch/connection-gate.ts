import type http from 'node:http';
import type { Socket } from 'node:net';

/** Connections to one host, as it counts them. */
interface Host {
  /** Requests under way; each has a connection, or is about to have one. */
  busy: number;
  /** Connections that were closed a moment ago. */
  closing: number;
  /** Who waits for one, in the order of asking. */
  waiting: Set<() => void>;
}

/**
 * Lets so many connections to a host be open that it counts no more than the bound. Node's agent replaces a connection
 * the moment it is closed here; the host hears of that later, and meanwhile would count one too many. The agents need
 * room for as many idle connections: then a new one is opened only where none is idle.
 */
export class ConnectionGate {
  readonly #most: number;
  readonly #closingMs: number;
  readonly #hosts = new Map<string, Host>();
  /** Connections whose end is waited for, and those whose end was counted. */
  readonly #seen = new WeakSet<Socket>();
  readonly #ended = new WeakSet<Socket>();

  /** @param closingMs how long a closed connection counts as open */
  constructor(most: number, closingMs: number) {
    this.#most = most;
    this.#closingMs = closingMs;
  }

  /**
   * Waits for a turn; there must be a request then, given to `follow`, or `leave` must be called.
   * @param host name and port
   * @throws the signal's reason when it is aborted before
   */
  async enter(host: string, signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    const state = this.#stateOf(host);
    if (this.#hasRoom(state) && state.waiting.size === 0) {
      state.busy++;
      return;
    }
    await new Promise<void>((resolve, reject) => {
      const turn = () => {
        signal.removeEventListener('abort', givenUp);
        resolve();
      };
      const givenUp = () => {
        state.waiting.delete(turn);
        this.#forget(host, state);
        reject(signal.reason);
      };
      state.waiting.add(turn);
      signal.addEventListener('abort', givenUp, { once: true });
    });
  }

  /** The turn ends with this request, and its connection's time when that is closed. */
  follow(host: string, request: http.ClientRequest): void {
    request.on('socket', (socket) => {
      if (this.#seen.has(socket)) return;
      this.#seen.add(socket);
      // Idle, it may be closed by either side.
      socket.on('close', () => this.#closed(host, socket));
    });
    request.on('close', () => {
      const { socket } = request;
      if (socket?.destroyed) this.#closed(host, socket);
      this.leave(host);
    });
  }

  /** The turn is over, or was not used. */
  leave(host: string): void {
    const state = this.#hosts.get(host);
    if (!state) return;
    state.busy--;
    this.#next(host, state);
  }

  #closed(host: string, socket: Socket): void {
    if (this.#ended.has(socket)) return;
    this.#ended.add(socket);
    const state = this.#stateOf(host);
    state.closing++;
    const over = () => {
      state.closing--;
      this.#next(host, state);
    };
    setTimeout(() => setImmediate(over), this.#closingMs);
  }

  #stateOf(host: string): Host {
    const state = this.#hosts.get(host) ?? { busy: 0, closing: 0, waiting: new Set() };
    this.#hosts.set(host, state);
    return state;
  }

  #hasRoom({ busy, closing }: Host): boolean {
    return busy + closing < this.#most;
  }

  #next(host: string, state: Host): void {
    for (const turn of state.waiting) {
      if (!this.#hasRoom(state)) return;
      state.waiting.delete(turn);
      state.busy++;
      turn();
    }
    this.#forget(host, state);
  }

  #forget(host: string, state: Host): void {
    if (state.busy + state.closing + state.waiting.size === 0) this.#hosts.delete(host);
  }
}
