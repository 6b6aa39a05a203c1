import http2 from 'node:http2';
import type { Server, TLSSocket } from 'node:tls';
import { createServer } from 'node:tls';
import type { Logger } from 'pino';
import { messageOf } from '#protocol/errors.ts';
import { RELAY_ALPN } from '#protocol/relay.ts';
import { windowFor } from './windows.ts';

export interface TunnelListenerParts {
  /** PEM: this relay's own, and the CA that signed the boxes'. */
  certificate: { keyPem: string; certificatePem: string; caPem: string };
  /** @returns the box's id @throws when it may not come */
  admit: (socket: TLSSocket) => Promise<string>;
  /** Takes a connection over; false when there is no room. */
  add: (boxId: string, session: http2.ClientHttp2Session) => boolean;
  log: Logger;
}

/** Boxes that dial at once wait for each other in the kernel, not here. */
const MOST_PENDING = 512;
const HANDSHAKE_MS = 10_000;
/** All streams of a box together may have this much under way: a box's line at 200 ms of round trip. */
const SESSION_WINDOW_BYTES = 16 * 1024 * 1024;

/** Where boxes dial in: TLS with their certificates, and on it HTTP/2 of which they are the servers. */
export class TunnelListener {
  readonly #parts: TunnelListenerParts;
  readonly #server: Server;
  readonly #sockets = new Set<TLSSocket>();
  #pending = 0;

  constructor(parts: TunnelListenerParts) {
    this.#parts = parts;
    const { keyPem, certificatePem, caPem } = parts.certificate;
    this.#server = createServer(
      {
        key: keyPem,
        cert: certificatePem,
        ca: caPem,
        requestCert: true,
        rejectUnauthorized: true,
        minVersion: 'TLSv1.2',
        handshakeTimeout: HANDSHAKE_MS,
        ALPNProtocols: [RELAY_ALPN],
      },
      (socket) => void this.#take(socket),
    );
    this.#server.on('tlsClientError', (error) =>
      parts.log.debug({ err: error.message }, 'a handshake failed'),
    );
  }

  /** @returns the port */
  async listen(port: number, host: string): Promise<number> {
    await new Promise<void>((resolve, reject) => {
      this.#server.once('error', reject);
      this.#server.listen(port, host, resolve);
    });
    const address = this.#server.address();
    return typeof address === 'object' && address ? address.port : port;
  }

  /** No further box is taken. */
  stop(): void {
    this.#server.close();
  }

  close(): void {
    this.stop();
    for (const socket of this.#sockets) socket.destroy();
  }

  async #take(socket: TLSSocket): Promise<void> {
    const { admit, add, log } = this.#parts;
    this.#sockets.add(socket);
    socket.once('close', () => this.#sockets.delete(socket));
    socket.on('error', () => undefined);
    if (socket.alpnProtocol !== RELAY_ALPN || this.#pending >= MOST_PENDING) {
      socket.destroy();
      return;
    }
    this.#pending++;
    try {
      const boxId = await admit(socket);
      if (socket.destroyed) return;
      socket.setKeepAlive(true, 30_000);
      socket.setNoDelay(true);
      const session = http2.connect('https://box.invalid', {
        createConnection: () => socket,
        settings: { enablePush: false, initialWindowSize: windowFor(0), maxHeaderListSize: 16 * 1024 },
        maxSendHeaderBlockLength: 32 * 1024,
        // What a box makes the relay keep beyond its streams' windows: heads, settings, pings.
        maxSessionMemory: 64,
        maxOutstandingPings: 4,
        maxReservedRemoteStreams: 0,
      });
      session.setLocalWindowSize(SESSION_WINDOW_BYTES);
      if (!add(boxId, session)) {
        log.warn({ boxId }, 'the relay is full: a box was sent away');
        session.destroy();
      }
    } catch (error) {
      log.info({ err: messageOf(error), from: socket.remoteAddress }, 'a box was turned away');
      socket.destroy();
    } finally {
      this.#pending--;
    }
  }
}
