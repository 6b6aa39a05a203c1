import { constants } from 'node:http2';
import type { Server, Socket } from 'node:net';
import { createServer } from 'node:net';
import { CLIENT_ADDRESS_HEADER } from '#protocol/relay.ts';
import { flowOfAddress } from '#shaping/shaper.ts';
import { carry } from './carry.ts';
import type { RelayCounts } from './counts.ts';
import { MOST_HELLO_BYTES, sniff } from './sni.ts';
import type { Tolls } from './tolls.ts';
import type { Tunnels } from './tunnels.ts';
import { giveUp } from './tunnels.ts';

export interface PassthroughLimits {
  connections: number;
  /** Of one address, or a /64 of IPv6. */
  connectionsPerClient: number;
  /** For a client's first bytes, ms. */
  helloMs: number;
  /** A connection on which nothing moves for this long is cut, ms. */
  idleMs: number;
}

export const PASSTHROUGH_LIMITS: PassthroughLimits = {
  connections: 20_000,
  connectionsPerClient: 64,
  helloMs: 10_000,
  idleMs: 60_000,
};

export interface PassthroughParts {
  tunnels: Tunnels;
  counts: RelayCounts;
  tolls: Tolls;
  limits: PassthroughLimits;
  /** The box a server name belongs to. */
  boxOf: (serverName: string) => Promise<string | null>;
  /** Takes connections for the relay's own name; null: it has no certificate. */
  own: {
    covers: (serverName: string) => boolean | 'maybe';
    take: (socket: Socket, first: Buffer) => void;
  } | null;
}

/** TLS alert `unrecognized_name`, fatal (RFC 6066 section 3): the client learns why, instead of a bare end. */
const UNRECOGNIZED_NAME = Buffer.from([21, 3, 3, 0, 2, 2, 112]);

/** Carries clients' TLS to the box they name, unread: by its server name, through a CONNECT stream. */
export class Passthrough {
  readonly #parts: PassthroughParts;
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  readonly #perClient = new Map<string, number>();

  constructor(parts: PassthroughParts) {
    this.#parts = parts;
    this.#server = createServer({ noDelay: true }, (socket) => this.#take(socket));
    this.#server.maxConnections = parts.limits.connections;
  }

  async listen(port: number, host: string): Promise<number> {
    await new Promise<void>((resolve, reject) => {
      this.#server.once('error', reject);
      this.#server.listen(port, host, resolve);
    });
    const address = this.#server.address();
    return typeof address === 'object' && address ? address.port : port;
  }

  get connections(): number {
    return this.#sockets.size;
  }

  stop(): void {
    this.#server.close();
  }

  close(): void {
    this.stop();
    for (const socket of this.#sockets) socket.destroy();
  }

  #take(socket: Socket): void {
    const { limits } = this.#parts;
    const client = socket.remoteAddress ?? '';
    // An IPv6 household has many addresses, and so has a flood from one.
    const network = flowOfAddress(client);
    const open = this.#perClient.get(network) ?? 0;
    socket.on('error', () => undefined);
    if (open >= limits.connectionsPerClient) {
      socket.destroy();
      return;
    }
    this.#sockets.add(socket);
    this.#perClient.set(network, open + 1);
    socket.once('close', () => {
      this.#sockets.delete(socket);
      const left = (this.#perClient.get(network) ?? 1) - 1;
      if (left > 0) this.#perClient.set(network, left);
      else this.#perClient.delete(network);
    });
    this.#readHello(socket, client);
  }

  #readHello(socket: Socket, client: string): void {
    let bytes: Buffer = Buffer.alloc(0);
    const tooLate = setTimeout(() => socket.destroy(), this.#parts.limits.helloMs);
    socket.once('close', () => clearTimeout(tooLate));
    const onData = (piece: Buffer) => {
      bytes = bytes.length === 0 ? piece : Buffer.concat([bytes, piece]);
      const found = sniff(bytes);
      if (found.kind === 'more' && bytes.length <= MOST_HELLO_BYTES) return;
      clearTimeout(tooLate);
      socket.off('data', onData);
      socket.pause();
      if (found.kind !== 'name') {
        socket.destroy();
        return;
      }
      const { own } = this.#parts;
      if (own?.covers(found.name) === true) own.take(socket, bytes);
      else void this.#connect(socket, client, found.name, bytes);
    };
    socket.on('data', onData);
  }

  async #connect(socket: Socket, client: string, serverName: string, first: Buffer): Promise<void> {
    const { tunnels, counts, tolls, limits, boxOf, own } = this.#parts;
    const boxId = await boxOf(serverName).catch(() => null);
    if (socket.destroyed) return;
    if (boxId === null && own?.covers(serverName)) {
      own.take(socket, first);
      return;
    }
    const opened =
      boxId === null ? null : tunnels.open(boxId, connectHead(serverName, client), { endStream: false });
    if (boxId === null || opened === null || 'refused' in opened) {
      socket.end(UNRECOGNIZED_NAME);
      return;
    }
    const { stream } = opened;
    counts.request(boxId);
    socket.setTimeout(limits.idleMs, () => socket.destroy());
    stream.on('error', () => undefined);
    stream.once('response', (head) => {
      if (head[':status'] !== 200) giveUp(stream);
    });
    // The one end or fault of either is the end of both; a half-closed side stays open for the other.
    stream.once('close', () => {
      if (stream.rstCode === constants.NGHTTP2_NO_ERROR) socket.end();
      else socket.destroy();
    });
    socket.once('close', () => giveUp(stream));
    stream.write(first);
    const toll = tolls.of(boxId, client);
    carry({ from: socket, to: stream, toll, onBytes: () => undefined });
    carry({ from: stream, to: socket, toll, onBytes: (bytes) => counts.bytes(boxId, bytes) });
    socket.once('end', () => stream.end());
    stream.once('end', () => socket.end());
  }
}

/** RFC 9113 section 8.5: method and authority, nothing else. */
function connectHead(serverName: string, client: string) {
  return { ':method': 'CONNECT', ':authority': `${serverName}:443`, [CLIENT_ADDRESS_HEADER]: client };
}
