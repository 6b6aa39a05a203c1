import type { AddressInfo, Socket } from 'node:net';
import net from 'node:net';

export interface DoorOptions {
  /** A client may close its side and still be answered: over HTTP/1.1, not over TLS, which says goodbye itself. */
  allowHalfOpen: boolean;
  /** Nothing is read here: another process may be given the connection. */
  unread: boolean;
}

/** A port that takes connections and hands them on. */
export class Door {
  readonly #server: net.Server;

  constructor(onConnection: (socket: Socket) => void, options: DoorOptions) {
    const { allowHalfOpen, unread } = options;
    this.#server = net.createServer({ noDelay: true, allowHalfOpen, pauseOnConnect: unread }, onConnection);
  }

  /** Null while it does not listen. */
  get port(): number | null {
    return (this.#server.address() as AddressInfo | null)?.port ?? null;
  }

  /** @returns the port it listens on */
  async listen(port: number, address: string): Promise<number> {
    await new Promise<void>((resolve, reject) => {
      this.#server.once('error', reject);
      this.#server.listen(port, address, () => resolve());
    });
    return (this.#server.address() as AddressInfo).port;
  }

  /** Takes no more connections; resolves when those that are read here have ended. */
  async close(): Promise<void> {
    await new Promise<void>((resolve) => this.#server.close(() => resolve()));
  }
}
