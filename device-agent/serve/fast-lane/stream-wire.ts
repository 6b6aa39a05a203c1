import type { Socket } from 'node:net';
import { TLSSocket } from 'node:tls';
import type { Wire, WireEvents } from './wire.ts';

/** A record of TLS, bytes. */
const RECORD_BYTES = 16 * 1024;

/** Drives a connection, plain or within TLS, by what Node promises of its sockets. */
export class StreamWire implements Wire {
  readonly #socket: Socket;
  readonly #events: WireEvents;
  readonly isSecure: boolean;

  /** @param stalledMs a connection on which nothing goes either way for so long is told of */
  constructor(socket: Socket, events: WireEvents, stalledMs: number) {
    this.#socket = socket;
    this.#events = events;
    this.isSecure = socket instanceof TLSSocket;
    socket.setTimeout(stalledMs);
    socket.on('data', this.#onData);
    socket.on('end', this.#onEnd);
    socket.on('error', ignore);
    socket.on('timeout', this.#onTimeout);
    socket.on('close', this.#onClose);
  }

  get isEnding(): boolean {
    return this.#socket.writableEnded;
  }

  send(buffers: Buffer[]): boolean {
    const socket = this.#socket;
    if (this.isSecure) this.#encrypt(buffers);
    else {
      socket.cork();
      for (let at = 0; at < buffers.length - 1; at++) socket.write(buffers[at] ?? NOTHING);
      socket.write(buffers.at(-1) ?? NOTHING, this.#sent);
      socket.uncork();
    }
    return false;
  }

  /** Node copies what is handed to TLS in several buffers, and encrypts one buffer where it lies: only a head is copied. */
  #encrypt([first = NOTHING, second = NOTHING]: Buffer[]): void {
    const room = Math.max(0, RECORD_BYTES - first.length);
    const start = second.length === 0 ? first : Buffer.concat([first, second.subarray(0, room)]);
    const rest = second.subarray(room);
    this.#socket.write(start, rest.length === 0 ? this.#sent : undefined);
    if (rest.length > 0) this.#socket.write(rest, this.#sent);
  }

  say(buffers: Buffer[]): void {
    const socket = this.#socket;
    socket.cork();
    for (const buffer of buffers) socket.write(buffer);
    socket.uncork();
  }

  keep(buffer: Buffer, length: number): void {
    this.#socket.pause();
    this.#socket.unshift(buffer.subarray(0, length));
  }

  resume(): void {
    if (this.#socket.isPaused()) this.#socket.resume();
  }

  /** The socket has its own timer. */
  tick(): void {}

  end(): void {
    this.#socket.end();
  }

  endSoon(): void {
    this.#socket.destroySoon();
  }

  cut(): void {
    this.#socket.destroy();
  }

  release(): Socket {
    const socket = this.#socket;
    socket.off('data', this.#onData);
    socket.off('end', this.#onEnd);
    socket.off('error', ignore);
    socket.off('timeout', this.#onTimeout);
    socket.off('close', this.#onClose);
    return socket;
  }

  readonly #onData = (chunk: Buffer): void => this.#events.onBytes(chunk, chunk.length);

  readonly #onEnd = (): void => this.#events.onEnd();

  readonly #onTimeout = (): void => this.#events.onStalled();

  readonly #onClose = (): void => this.#events.onClose();

  readonly #sent = (error?: Error | null): void => {
    if (error || this.#socket.destroyed) this.cut();
    else this.#events.onSent();
  };
}

const NOTHING = Buffer.alloc(0);

function ignore(): void {}
