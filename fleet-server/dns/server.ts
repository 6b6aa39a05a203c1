import dgram from 'node:dgram';
import type { AddressInfo, Server, Socket } from 'node:net';
import { createServer } from 'node:net';
import type { Logger } from 'pino';
import { messageOf } from '#protocol/errors.ts';
import { MOST_QUERY_BYTES, readQuery, writeFailure, writeReply, writeTruncated } from './exchange.ts';
import { DNS_RATE, RateLimit } from './rate-limit.ts';
import type { Question, Reply } from './zone.ts';

export interface DnsServerParts {
  answer: (question: Question) => Promise<Reply>;
  log: Logger;
  limits?: Partial<DnsLimits>;
}

export interface DnsLimits {
  /** Lookups under way at once; beyond, a query is dropped and comes again. */
  lookups: number;
  tcpConnections: number;
  tcpConnectionsPerClient: number;
  /** A connection on which nothing comes for this long is cut (RFC 7766 section 6.2.3), ms. */
  tcpIdleMs: number;
}

const LIMITS: DnsLimits = {
  lookups: 1_000,
  tcpConnections: 256,
  tcpConnectionsPerClient: 8,
  tcpIdleMs: 10_000,
};
/** Each answer may be that much, and a client that does not read gets no more. */
const MOST_UNREAD_BYTES = 256 * 1024;

/** Answers DNS queries over UDP and TCP on one port. */
export class DnsServer {
  readonly #parts: DnsServerParts;
  readonly #limits: DnsLimits;
  readonly #rate = new RateLimit(DNS_RATE, () => performance.now());
  readonly #udp: dgram.Socket;
  readonly #tcp: Server;
  readonly #connections = new Map<Socket, string>();
  #lookups = 0;

  /** @throws when the port is taken */
  static async start(parts: DnsServerParts, host: string, port: number): Promise<DnsServer> {
    const server = new DnsServer(parts, host);
    await server.#listen(host, port);
    return server;
  }

  private constructor(parts: DnsServerParts, host: string) {
    this.#parts = parts;
    this.#limits = { ...LIMITS, ...parts.limits };
    this.#udp = dgram.createSocket(host.includes(':') ? 'udp6' : 'udp4');
    this.#udp.on('message', (bytes, from) => void this.#datagram(bytes, from.address, from.port));
    this.#tcp = createServer((socket) => this.#accept(socket));
    this.#tcp.maxConnections = this.#limits.tcpConnections;
  }

  get port(): number {
    return (this.#tcp.address() as AddressInfo).port;
  }

  async close(): Promise<void> {
    const closed = new Promise<void>((resolve) => this.#tcp.close(() => resolve()));
    for (const socket of this.#connections.keys()) socket.destroy();
    await closed;
    await new Promise<void>((resolve) => this.#udp.close(() => resolve()));
  }

  async #listen(host: string, port: number): Promise<void> {
    // TCP first: where any port will do, UDP then takes the same.
    await new Promise<void>((resolve, reject) => {
      this.#tcp.once('error', reject);
      this.#tcp.listen(port, host, resolve);
    });
    try {
      await new Promise<void>((resolve, reject) => {
        this.#udp.once('error', reject);
        this.#udp.bind(this.port, host, resolve);
      });
    } catch (error) {
      this.#tcp.close();
      throw error;
    }
    // An answer that cannot be sent is the client's loss; it asks again.
    this.#udp.on('error', (error) => this.#parts.log.debug({ err: error.message }, 'UDP trouble'));
  }

  async #datagram(bytes: Buffer, address: string, port: number): Promise<void> {
    const query = readQuery(bytes, false);
    if (query.kind === 'drop') return;
    const verdict = this.#rate.decide(address);
    if (verdict === 'drop') return;
    let reply: Buffer | null;
    if (query.kind === 'refuse') reply = verdict === 'answer' ? query.bytes : null;
    else if (verdict === 'truncate') reply = writeTruncated(query);
    else reply = await this.#resolve(query);
    if (reply) this.#udp.send(reply, port, address, () => undefined);
  }

  #accept(socket: Socket): void {
    const client = socket.remoteAddress ?? '';
    const open = [...this.#connections.values()].filter((other) => other === client).length;
    socket.on('error', () => undefined);
    if (open >= this.#limits.tcpConnectionsPerClient) {
      socket.destroy();
      return;
    }
    this.#connections.set(socket, client);
    socket.once('close', () => this.#connections.delete(socket));
    socket.setTimeout(this.#limits.tcpIdleMs, () => socket.destroy());
    let held: Buffer = Buffer.alloc(0);
    socket.on('data', (piece) => {
      held = held.length === 0 ? piece : Buffer.concat([held, piece]);
      while (held.length >= 2) {
        const length = held.readUInt16BE(0);
        if (length < 12 || length > MOST_QUERY_BYTES) {
          socket.destroy();
          return;
        }
        if (held.length < 2 + length) return;
        const message = Buffer.from(held.subarray(2, 2 + length));
        held = held.subarray(2 + length);
        void this.#message(message, socket);
      }
    });
  }

  async #message(bytes: Buffer, socket: Socket): Promise<void> {
    const query = readQuery(bytes, true);
    if (query.kind === 'drop') {
      socket.destroy();
      return;
    }
    const reply = query.kind === 'refuse' ? query.bytes : await this.#resolve(query);
    if (!reply || socket.destroyed) return;
    const length = Buffer.alloc(2);
    length.writeUInt16BE(reply.length);
    socket.write(Buffer.concat([length, reply]));
    if (socket.writableLength > MOST_UNREAD_BYTES) socket.destroy();
  }

  async #resolve(query: Extract<ReturnType<typeof readQuery>, { kind: 'ask' }>): Promise<Buffer | null> {
    if (this.#lookups >= this.#limits.lookups) return null;
    this.#lookups++;
    try {
      return writeReply(query, await this.#parts.answer(query.question));
    } catch (error) {
      this.#parts.log.warn({ err: messageOf(error) }, 'a DNS query could not be answered');
      return writeFailure(query);
    } finally {
      this.#lookups--;
    }
  }
}
