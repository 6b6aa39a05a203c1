import { connect, type Socket } from 'node:net';
import type { Logger } from 'pino';

/** One that does not take a connection for so long is not there, ms. */
const DIAL_MS = 2_000;
/** Between two dials of one that is away, ms. */
const AGAIN_MS = 250;
/** A relay ends a connection that says nothing after some seconds; sooner than so it is not dialled again, ms. */
const AT_MOST_EACH_MS = 50;

interface Watched {
  socket: Socket | null;
  timer: NodeJS.Timeout | null;
  /** It was reached from here. Where that never worked, that it fails says nothing. */
  reached: boolean;
  up: boolean;
  dialledAtMs: number;
}

export interface RelayWatchParts {
  /** A relay was found dead, or came back. */
  onChange: (url: string, up: boolean) => void;
  log: Logger;
  /** Monotonic, ms. */
  now?: () => number;
}

/**
 * Notices at once that a relay's process has died: a connection is kept to each, on which nothing is said. When its
 * other end dies, the system ends it, and the next dial is refused; what the relay itself says in the database would
 * be missed some seconds later only.
 */
export class RelayWatch {
  readonly #parts: RelayWatchParts;
  readonly #watched = new Map<string, Watched>();

  constructor(parts: RelayWatchParts) {
    this.#parts = parts;
  }

  /** The relays there are, by their public URLs: these are watched from now on, and no others. */
  use(urls: Iterable<string>): void {
    const wanted = new Set(urls);
    for (const [url, one] of this.#watched) {
      if (wanted.has(url)) continue;
      this.#watched.delete(url);
      end(one);
    }
    for (const url of wanted) {
      if (this.#watched.has(url)) continue;
      const one: Watched = { socket: null, timer: null, reached: false, up: true, dialledAtMs: 0 };
      this.#watched.set(url, one);
      this.#dial(url, one);
    }
  }

  /** False for one that was reached and is so no more. */
  isUp(url: string): boolean {
    return this.#watched.get(url)?.up ?? true;
  }

  close(): void {
    this.use([]);
  }

  #dial(url: string, one: Watched): void {
    const { now = () => performance.now() } = this.#parts;
    const { hostname, port, protocol } = new URL(url);
    one.dialledAtMs = now();
    const socket = connect({
      host: hostname.replace(/^\[|\]$/g, ''),
      port: Number(port) || (protocol === 'https:' ? 443 : 80),
    });
    one.socket = socket;
    let connected = false;
    socket.setTimeout(DIAL_MS, () => {
      if (!connected) socket.destroy();
    });
    socket.once('connect', () => {
      connected = true;
      socket.setTimeout(0);
      socket.setKeepAlive(true, 5_000);
      one.reached = true;
      this.#set(url, one, true);
    });
    socket.on('error', () => undefined);
    // Nothing is expected; what comes is not kept.
    socket.resume();
    socket.once('close', () => {
      if (this.#watched.get(url) !== one) return;
      one.socket = null;
      // One that took a connection and ended it may have grown tired of the silence: the next dial tells.
      if (!connected && one.reached) this.#set(url, one, false);
      const waitMs = connected ? one.dialledAtMs + AT_MOST_EACH_MS - now() : AGAIN_MS;
      one.timer = setTimeout(() => this.#dial(url, one), Math.max(0, waitMs));
      one.timer.unref();
    });
    socket.unref();
  }

  #set(url: string, one: Watched, up: boolean): void {
    if (one.up === up) return;
    one.up = up;
    this.#parts.log.info({ relay: url, up }, up ? 'a relay is back' : 'a relay has died');
    this.#parts.onChange(url, up);
  }
}

function end({ socket, timer }: Watched): void {
  if (timer) clearTimeout(timer);
  socket?.destroy();
}
