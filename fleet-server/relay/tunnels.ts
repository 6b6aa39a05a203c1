import type { ClientHttp2Session, ClientHttp2Stream, OutgoingHttpHeaders } from 'node:http2';
import { constants } from 'node:http2';
import type { Duplex } from 'node:stream';
import { Pulse } from './pulse.ts';
import { windowFor } from './windows.ts';

export interface TunnelLimits {
  /** Boxes connected at once. */
  boxes: number;
  /** Streams open on one box: its fair part of this relay. */
  streamsPerBox: number;
  /** Streams open on the whole relay. */
  streams: number;
  /** A box that has not been heard of for this long is gone, ms. */
  silentMs: number;
}

export const TUNNEL_LIMITS: TunnelLimits = {
  boxes: 20_000,
  streamsPerBox: 256,
  streams: 20_000,
  silentMs: 45_000,
};

/** One connection a box keeps to this relay. */
export interface Tunnel {
  readonly boxId: string;
  readonly session: ClientHttp2Session;
  /** Below the session: one that is destroyed in the middle of a write waits for it, and that may be for ever. */
  readonly socket: Duplex;
  /** Streams open on it. */
  streams: number;
  /** The box asked that nothing new is sent this way. */
  leaving: boolean;
  /** The window its streams get. */
  windowBytes: number;
}

/** A relay keeps the connections of a box that follow one another, and forgets those that are over. */
const MOST_PER_BOX = 2;

export type Opened = { stream: ClientHttp2Stream } | { refused: 'not_here' | 'box_busy' | 'relay_busy' };

/** The boxes that are connected to this relay, and the streams open on them. */
export class Tunnels {
  readonly #limits: TunnelLimits;
  readonly #byBox = new Map<string, Tunnel[]>();
  readonly #onChange: (boxId: string, connected: boolean) => void;
  readonly #pulse: Pulse<Tunnel>;
  #streams = 0;

  /** @param onChange a box came, or its last connection went */
  constructor(limits: TunnelLimits, onChange: (boxId: string, connected: boolean) => void) {
    this.#limits = limits;
    this.#onChange = onChange;
    this.#pulse = new Pulse({
      silentMs: limits.silentMs,
      ask: ping,
      gone: end,
      now: () => performance.now(),
    });
  }

  get boxes(): number {
    return this.#byBox.size;
  }
  get streams(): number {
    return this.#streams;
  }

  boxIds(): string[] {
    return [...this.#byBox.keys()];
  }

  /** Whether it has a connection at all, be it one it is about to leave. */
  holds(boxId: string): boolean {
    return this.#byBox.has(boxId);
  }

  has(boxId: string): boolean {
    return this.#byBox.get(boxId)?.some(({ leaving }) => !leaving) ?? false;
  }

  /** Takes a connection over; false when the relay is full. */
  add(boxId: string, session: ClientHttp2Session, socket: Duplex): boolean {
    const known = this.#byBox.get(boxId);
    if (!known && this.#byBox.size >= this.#limits.boxes) return false;
    const tunnel: Tunnel = { boxId, session, socket, streams: 0, leaving: false, windowBytes: windowFor(0) };
    const list = known ?? [];
    // The newest first: a box that came back has an old connection that is dead without knowing.
    list.unshift(tunnel);
    this.#byBox.set(boxId, list);
    for (const old of list.splice(MOST_PER_BOX)) end(old);
    session.on('goaway', () => {
      tunnel.leaving = true;
    });
    // Its fault shows as 'close'; without a listener an error would end the process.
    session.on('error', () => undefined);
    this.#pulse.add(tunnel);
    session.once('close', () => this.#remove(tunnel));
    if (!known) this.#onChange(boxId, true);
    return true;
  }

  /**
   * Opens a stream to a box.
   * @param headers HTTP/2 pseudo-headers included
   * @param options.signal resets it, for whoever puts another stream around it: that hears of a `close` first, and
   * destroys it before the reset is sent
   */
  open(
    boxId: string,
    headers: OutgoingHttpHeaders,
    options: { endStream: boolean; signal?: AbortSignal },
  ): Opened {
    const tunnel = this.#byBox.get(boxId)?.find(({ leaving, session }) => !leaving && !session.closed);
    if (!tunnel) return { refused: 'not_here' };
    const asked = tunnel.session.remoteSettings.maxConcurrentStreams ?? Number.POSITIVE_INFINITY;
    if (tunnel.streams >= Math.min(this.#limits.streamsPerBox, asked)) return { refused: 'box_busy' };
    if (this.#streams >= this.#limits.streams) return { refused: 'relay_busy' };
    this.#fitWindow(tunnel);
    let stream: ClientHttp2Stream;
    try {
      stream = tunnel.session.request(headers, options);
    } catch {
      // It went down this very moment.
      return { refused: 'not_here' };
    }
    tunnel.streams++;
    this.#streams++;
    stream.once('close', () => {
      tunnel.streams--;
      this.#streams--;
    });
    return { stream };
  }

  /** Cuts a box off at once. */
  cut(boxId: string): void {
    for (const tunnel of [...(this.#byBox.get(boxId) ?? [])]) end(tunnel);
  }

  /** Tells every box that nothing new will come this way: it goes to another relay, and then ends the connection. */
  sendAway(): void {
    for (const list of this.#byBox.values()) {
      for (const { session } of list) if (!session.closed) session.goaway(constants.NGHTTP2_NO_ERROR);
    }
  }

  /** Ends everything. */
  destroy(): void {
    for (const boxId of this.boxIds()) this.cut(boxId);
  }

  /** In one sequence with the request, so that the box knows of the window before it answers. */
  #fitWindow(tunnel: Tunnel): void {
    const windowBytes = windowFor(this.#streams + 1);
    if (windowBytes === tunnel.windowBytes) return;
    tunnel.windowBytes = windowBytes;
    tunnel.session.settings({ initialWindowSize: windowBytes });
  }

  #remove(tunnel: Tunnel): void {
    this.#pulse.remove(tunnel);
    const list = this.#byBox.get(tunnel.boxId) ?? [];
    const rest = list.filter((other) => other !== tunnel);
    if (rest.length > 0) {
      this.#byBox.set(tunnel.boxId, rest);
      return;
    }
    if (this.#byBox.delete(tunnel.boxId)) this.#onChange(tunnel.boxId, false);
  }
}

/**
 * Ends a stream nobody reads any more. A reset alone does not end one that the box has sent whole, or is about to have:
 * it waits until the last of what it holds is read, which will not happen, and would count as open for ever.
 */
export function giveUp(stream: ClientHttp2Stream): void {
  stream.close(constants.NGHTTP2_CANCEL);
  stream.destroy();
}

function ping({ session }: Tunnel, answered: () => void): void {
  // One that closes in peace has streams that end on it.
  if (session.destroyed || session.closed) answered();
  else
    session.ping((error) => {
      if (!error) answered();
    });
}

function end({ session, socket }: Tunnel): void {
  session.destroy();
  socket.destroy();
}
