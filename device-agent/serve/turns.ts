import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';

/** One connection: is a response under way, and who waits for its end. */
interface Line {
  busy: boolean;
  waiting: (() => void)[];
  /** Called when the response under way has closed. */
  leave: () => void;
}

/**
 * One response at a time on each connection. Node hands out every pipelined request (RFC 9112 section 9.3.2) at
 * once; answered side by side, each would hold a buffer and an open file for a turn that may never come, and one
 * small packet of requests would cost megabytes.
 */
export class Turns {
  readonly #mostWaiting: number;
  readonly #lines = new WeakMap<Socket, Line>();
  #waiting = 0;

  /** @param mostWaiting requests that may wait for their turn, over all connections */
  constructor(mostWaiting: number) {
    this.#mostWaiting = mostWaiting;
  }

  /**
   * Waits until the responses before this one have ended; its turn lasts until it closes.
   * @returns false when its turn will not come: the connection is gone, or too many wait and it is cut
   */
  enter(request: IncomingMessage, response: ServerResponse): boolean | Promise<boolean> {
    const { socket } = request;
    let line = this.#lines.get(socket);
    if (!line) {
      line = newLine();
      this.#lines.set(socket, line);
    }
    if (line.busy) return this.#queue(line, socket, response);
    begin(line, response);
    return true;
  }

  /**
   * Calls back when every response that is under way or waits on this connection has ended.
   * @returns false when there is none
   */
  atEnd(socket: Duplex, ended: () => void): boolean {
    const line = this.#lines.get(socket as Socket);
    if (!line?.busy) return false;
    line.waiting.push(ended);
    return true;
  }

  async #queue(line: Line, socket: Socket, response: ServerResponse): Promise<boolean> {
    if (socket.destroyed) return false;
    if (this.#waiting >= this.#mostWaiting) {
      socket.destroy();
      return false;
    }
    this.#waiting++;
    await new Promise<void>((resolve) => line.waiting.push(resolve));
    this.#waiting--;
    // Node gives a response its socket when the one before it has ended, unless that was the last.
    if (response.socket === null || response.socket.destroyed) {
      line.leave();
      return false;
    }
    begin(line, response);
    return true;
  }
}

function newLine(): Line {
  const line: Line = {
    busy: false,
    waiting: [],
    leave: () => {
      const next = line.waiting.shift();
      if (next) next();
      else line.busy = false;
    },
  };
  return line;
}

function begin(line: Line, response: ServerResponse): void {
  line.busy = true;
  response.once('close', line.leave);
}
