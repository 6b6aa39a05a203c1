import type { Socket } from 'node:net';
import type { TLSSocket } from 'node:tls';
import tls from 'node:tls';
import type { Visitor } from '../connections.ts';
import type { Certificate } from './certificates.ts';
import { cipherOptions, hasAes, readCpuinfo } from './ciphers.ts';

export interface SecurePortParts {
  /** A connection that speaks HTTP/1.1, from which nothing has been read. */
  onHttp1: (socket: TLSSocket, visitor: Visitor) => void;
  /** One that speaks HTTP/2. */
  onHttp2: (socket: TLSSocket, visitor: Visitor) => void;
  /** Longest time for a handshake, ms. */
  handshakeMs: number;
}

/** The content port over TLS: handshakes, and what the two sides agreed to speak (ALPN, RFC 7301). */
export class SecurePort {
  /** Never listens itself: it is handed the connections that were taken up. */
  readonly #tls: tls.Server;
  /** Connections in their handshake, by the client's end. */
  readonly #greeting = new Map<string, Visitor>();

  /** @param ticketKeys what sessions are carried on with (48 bytes): shared by all who answer on the port */
  constructor(parts: SecurePortParts, certificate: Certificate, ticketKeys: Buffer | null = null) {
    this.#tls = tls.createServer({
      ...certificate,
      ...cipherOptions(hasAes(readCpuinfo())),
      minVersion: 'TLSv1.2',
      ALPNProtocols: ['h2', 'http/1.1'],
      handshakeTimeout: parts.handshakeMs,
      ...(ticketKeys && { ticketKeys }),
    });
    this.#tls.on('secureConnection', (socket) => {
      const visitor = this.#greeting.get(endOf(socket));
      if (!visitor) return void socket.destroy();
      socket.on('error', () => undefined);
      if (socket.alpnProtocol === 'h2') parts.onHttp2(socket, visitor);
      else parts.onHttp1(socket, visitor);
    });
    // Scanners and broken clients; nothing to be done about them.
    this.#tls.on('tlsClientError', (_error, socket) => socket.destroy());
  }

  /** Takes a connection from which nothing has been read. */
  take(socket: Socket, visitor: Visitor): void {
    const end = endOf(socket);
    this.#greeting.set(end, visitor);
    socket.once('close', () => this.#greeting.delete(end));
    socket.on('error', () => undefined);
    this.#tls.emit('connection', socket);
  }

  /** New connections use it; those there are go on with theirs. */
  use(certificate: Certificate): void {
    this.#tls.setSecureContext({
      ...certificate,
      ...cipherOptions(hasAes(readCpuinfo())),
      minVersion: 'TLSv1.2',
    });
  }
}

/** Address and port of the other end: no two connections have the same. */
function endOf(socket: Socket): string {
  return `${socket.remoteAddress} ${socket.remotePort}`;
}
