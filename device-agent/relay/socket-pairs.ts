import type { AddressInfo, Server, Socket } from 'node:net';
import net from 'node:net';
import { HearthError, messageOf } from '#protocol/errors.ts';

/** Two ends of one connection; from the far one nothing has been read. */
export interface SocketPair {
  near: Socket;
  far: Socket;
}

/** Where the near ends have an address of their own, no other connection of this machine looks the same. */
const NEAR_ADDRESS = process.platform === 'linux' ? '127.84.67.80' : '127.0.0.1';
const PATIENCE_MS = 5_000;
/** The two ends are told of in the same moment. */
const EARLY_MS = 1_000;
/** Far ends whose near end has not said so yet; more can only be strangers'. */
const MOST_EARLY = 256;

/**
 * Pairs of connected sockets, which Node cannot make: a server on loopback that takes only what was dialled here. A
 * relayed connection becomes one the content server can treat as any other, or give to another process.
 */
export class SocketPairs {
  #server: Promise<Server> | null = null;
  readonly #awaited = new Map<string, (far: Socket) => void>();
  readonly #early = new Map<string, Socket>();

  /** @throws HearthError `unavailable` when the system gives none */
  async make(): Promise<SocketPair> {
    try {
      this.#server ??= this.#listen();
      const { port } = (await this.#server).address() as AddressInfo;
      return await this.#dial(port);
    } catch (cause) {
      throw new HearthError('unavailable', `no pair of sockets: ${messageOf(cause)}`, { cause });
    }
  }

  async close(): Promise<void> {
    const server = await this.#server?.catch(() => null);
    for (const socket of this.#early.values()) socket.destroy();
    server?.close();
  }

  #listen(): Promise<Server> {
    const server = net.createServer({ noDelay: true, pauseOnConnect: true }, (far) => this.#accepted(far));
    return new Promise((resolve, reject) => {
      server.once('error', (error) => {
        this.#server = null;
        reject(error);
      });
      server.listen(0, '127.0.0.1', () => resolve(server));
    });
  }

  #dial(port: number): Promise<SocketPair> {
    return new Promise((resolve, reject) => {
      const near = net.connect({ port, host: '127.0.0.1', localAddress: NEAR_ADDRESS, noDelay: true });
      let end = '';
      const give = (far: Socket) => {
        clearTimeout(timer);
        near.off('error', fail);
        this.#awaited.delete(end);
        resolve({ near, far });
      };
      const fail = (error: Error) => {
        clearTimeout(timer);
        this.#awaited.delete(end);
        near.destroy();
        reject(error);
      };
      const timer = setTimeout(() => fail(new Error('not accepted in time')), PATIENCE_MS);
      near.once('error', fail);
      near.once('connect', () => {
        end = `${near.localAddress} ${near.localPort}`;
        const far = this.#early.get(end);
        if (far) {
          this.#early.delete(end);
          give(far);
        } else this.#awaited.set(end, give);
      });
    });
  }

  #accepted(far: Socket): void {
    far.on('error', () => undefined);
    const end = `${far.remoteAddress} ${far.remotePort}`;
    const give = this.#awaited.get(end);
    if (give) {
      give(far);
      return;
    }
    // The kernel may tell of this end first.
    if (this.#early.size >= MOST_EARLY) {
      far.destroy();
      return;
    }
    this.#early.set(end, far);
    const stranger = setTimeout(() => {
      if (this.#early.delete(end)) far.destroy();
    }, EARLY_MS);
    stranger.unref();
    far.once('close', () => {
      clearTimeout(stranger);
      if (this.#early.get(end) === far) this.#early.delete(end);
    });
  }
}
