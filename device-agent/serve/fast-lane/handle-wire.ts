import type { Socket } from 'node:net';
import type { Handles, TcpHandle, WriteRequest } from './handles.ts';
import type { Wire, WireEvents } from './wire.ts';

/** All connections are read into one buffer: what it holds is used before the next is read. */
const INBOX = Buffer.allocUnsafeSlow(64 * 1024);

/**
 * Drives a plain connection by its handle: of what `net.Socket` does for each read and each write (a buffer, stream
 * states, a turn of the microtasks, a timer set anew) nothing is left but the system calls. The socket stays the
 * owner: it closes, it ends, it fails, and it can be had back at any time.
 */
export class HandleWire implements Wire {
  readonly isSecure = false;
  readonly #handles: Handles;
  readonly #socket: Socket;
  readonly #handle: TcpHandle;
  readonly #events: WireEvents;
  readonly #stalledMs: number;
  /** How the socket reads itself. */
  readonly #onReadBefore: TcpHandle['onread'];
  #isReleased = false;
  #kept: Buffer | null = null;
  /** Used again until the kernel keeps one. */
  #request: WriteRequest | null = null;
  #sending = 0;
  /** What libuv still had to hand over when that last changed, bytes, and when that was, ms; -1: not known yet. */
  #queueBytes = -1;
  #movedAtMs = 0;

  /** @param stalledMs a client that takes nothing of what is sent for so long is told of */
  constructor(handles: Handles, handle: TcpHandle, socket: Socket, events: WireEvents, stalledMs: number) {
    this.#handles = handles;
    this.#handle = handle;
    this.#socket = socket;
    this.#events = events;
    this.#stalledMs = stalledMs;
    this.#onReadBefore = handle.onread;
    handle.useUserBuffer(INBOX);
    handle.onread = this.#onRead;
    socket.on('end', this.#onEnd);
    socket.on('error', ignore);
    socket.on('timeout', this.#onTimeout);
    socket.on('close', this.#onClose);
    this.#read();
  }

  get isEnding(): boolean {
    return this.#socket.writableEnded;
  }

  send(buffers: Buffer[]): boolean {
    return this.#write(buffers, this.#sent);
  }

  say(buffers: Buffer[]): void {
    this.#write(buffers, this.#said);
  }

  #write(buffers: Buffer[], done: (status: number) => void): boolean {
    if (this.#socket.destroyed) return false;
    const { state, isAsyncAt, WriteWrap } = this.#handles;
    this.#request ??= new WriteWrap();
    const request = this.#request;
    const [only] = buffers;
    const error =
      buffers.length === 1 && only
        ? this.#handle.writeBuffer(request, only)
        : this.#handle.writev(request, buffers, true);
    if (error !== 0) {
      this.#socket.destroy();
      return false;
    }
    if (state[isAsyncAt] === 0) return true;
    request.oncomplete = done;
    request.buffers = buffers;
    this.#request = null;
    this.#queueBytes = -1;
    this.#sending++;
    return false;
  }

  readonly #sent = (status: number): void => {
    this.#said(status);
    if (!this.#socket.destroyed) this.#events.onSent();
  };

  readonly #said = (status: number): void => {
    this.#sending--;
    if (status < 0) this.#socket.destroy();
  };

  readonly #onRead = (): void => {
    const { state, readAt } = this.#handles;
    const size = state[readAt] ?? 0;
    const handle = this.#handle;
    if (size <= 0) this.#onReadBefore.call(handle);
    else if (this.#isReleased) {
      // The socket's own way of reading takes what it is given for its own.
      this.#onReadBefore.call(handle, new Uint8Array(INBOX.subarray(0, size)).buffer);
    } else this.#events.onBytes(INBOX, size);
  };

  keep(buffer: Buffer, length: number): void {
    const bytes = buffer.subarray(0, length);
    this.#kept = this.#kept ? Buffer.concat([this.#kept, bytes]) : Buffer.from(bytes);
    if (!this.#handle.reading || this.#socket.destroyed) return;
    this.#handle.reading = false;
    this.#handle.readStop();
  }

  resume(): void {
    const kept = this.#kept;
    this.#kept = null;
    this.#read();
    if (kept) this.#events.onBytes(kept, kept.length);
  }

  #read(): void {
    if (this.#handle.reading || this.#socket.destroyed) return;
    this.#handle.reading = true;
    if (this.#handle.readStart() !== 0) this.#socket.destroy();
  }

  tick(nowMs: number): void {
    if (this.#sending === 0 || this.#socket.destroyed) return;
    const queueBytes = this.#handle.writeQueueSize;
    if (queueBytes !== this.#queueBytes) {
      this.#queueBytes = queueBytes;
      this.#movedAtMs = nowMs;
    } else if (nowMs - this.#movedAtMs >= this.#stalledMs) this.#events.onStalled();
  }

  end(): void {
    this.#socket.setTimeout(this.#stalledMs);
    this.#socket.end();
  }

  endSoon(): void {
    this.#socket.setTimeout(this.#stalledMs);
    this.#socket.destroySoon();
  }

  cut(): void {
    this.#socket.destroy();
  }

  release(): Socket {
    const socket = this.#socket;
    this.#isReleased = true;
    socket.off('end', this.#onEnd);
    socket.off('error', ignore);
    socket.off('timeout', this.#onTimeout);
    socket.off('close', this.#onClose);
    this.#read();
    return socket;
  }

  readonly #onEnd = (): void => this.#events.onEnd();

  readonly #onTimeout = (): void => this.#events.onStalled();

  readonly #onClose = (): void => this.#events.onClose();
}

function ignore(): void {}
