import type { Socket } from 'node:net';

/** What comes by a connection in the fast lane. */
export interface WireEvents {
  /** The first `length` bytes of a buffer that is another's as soon as this returns. */
  onBytes(buffer: Buffer, length: number): void;
  /** The kernel has taken what `send` could not hand over at once. */
  onSent(): void;
  /** The client has closed its side. */
  onEnd(): void;
  /** Nothing has gone either way for too long. */
  onStalled(): void;
  /** It is gone: what was to be sent is read by nobody any more. */
  onClose(): void;
}

/** A connection as the fast lane uses it, however it is driven: one `send` at a time. */
export interface Wire {
  /** This side has said its last. */
  readonly isEnding: boolean;
  /** Encrypted: what is sent at once is copied. */
  readonly isSecure: boolean;
  /**
   * Hands buffers to the kernel with one call; they must stay as they are until it has them.
   * @returns true when it has them all; else `onSent` follows, or `onClose` when the connection fails
   */
  send(buffers: Buffer[]): boolean;
  /** As `send`, for little that nobody waits for. */
  say(buffers: Buffer[]): void;
  /** Bytes that came too early: they come again after `resume`, and no others before. */
  keep(buffer: Buffer, length: number): void;
  resume(): void;
  /** Looks whether it has stalled; called every now and then. */
  tick(nowMs: number): void;
  /** Closes this side. */
  end(): void;
  /** Closes the connection when all that was said has gone. */
  endSoon(): void;
  /** Closes it at once. */
  cut(): void;
  /** Ends this use of the socket: what comes from now on comes by the socket's own events. */
  release(): Socket;
}
