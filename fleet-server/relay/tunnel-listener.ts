import http2 from 'node:http2';
import net from 'node:net';
import type { Server, TLSSocket } from 'node:tls';
import { createServer } from 'node:tls';
import type { Logger } from 'pino';
import { boxNamedBy } from '#fleet/boxes/admission.ts';
import { HearthError, messageOf } from '#protocol/errors.ts';
import { RELAY_ALPN } from '#protocol/relay.ts';
import { DialLimit } from './dial-limit.ts';
import { windowFor } from './windows.ts';

export interface TunnelListenerParts {
  /** PEM: this relay's own, and the CA that signed the boxes'. */
  certificate: { keyPem: string; certificatePem: string; caPem: string };
  /** @returns the box's id @throws when it may not come */
  admit: (socket: TLSSocket) => Promise<string>;
  /** Takes a connection over; false when there is no room. */
  add: (boxId: string, session: http2.ClientHttp2Session, socket: TLSSocket) => boolean;
  log: Logger;
}

/**
 * Handshakes under way at once; who comes beyond is closed at once and comes again after its back-off. When a relay has
 * restarted thousands dial together: taken all at the same time, none would be through before it gives up, and the
 * work done for it would be lost.
 */
const MOST_PENDING = 256;
/** From one address: many boxes may stand behind a provider's NAT, and one that says nothing must not shut out the others. */
const MOST_PENDING_PER_ADDRESS = 64;
const HANDSHAKE_MS = 10_000;
/** All streams of a box together may have this much under way, and half of it in a round trip: 80 MB/s at 200 ms. */
const SESSION_WINDOW_BYTES = 32 * 1024 * 1024;

/** Where boxes dial in: TLS with their certificates, and on it HTTP/2 of which they are the servers. */
export class TunnelListener {
  readonly #parts: TunnelListenerParts;
  readonly #port: net.Server;
  /** Never listens itself: it is handed the connections that were taken. */
  readonly #server: Server;
  readonly #sockets = new Set<TLSSocket>();
  readonly #dials = new DialLimit(() => performance.now());
  /** Connections from accept to admission. */
  readonly #pending = new Set<string>();

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
      (socket) => void this.#take(socket).finally(() => this.#pending.delete(endOf(socket))),
    );
    this.#port = net.createServer((socket) => {
      if (!this.#mayGreet(socket)) {
        socket.destroy();
        return;
      }
      const end = endOf(socket);
      this.#pending.add(end);
      socket.once('close', () => this.#pending.delete(end));
      socket.on('error', () => undefined);
      this.#server.emit('connection', socket);
    });
    this.#server.on('tlsClientError', (error) =>
      parts.log.debug({ err: error.message }, 'a handshake failed'),
    );
  }

  /** @returns the port */
  async listen(port: number, host: string): Promise<number> {
    await new Promise<void>((resolve, reject) => {
      this.#port.once('error', reject);
      this.#port.listen(port, host, resolve);
    });
    const address = this.#port.address();
    return typeof address === 'object' && address ? address.port : port;
  }

  /** No further box is taken. */
  stop(): void {
    this.#port.close();
  }

  close(): void {
    this.stop();
    for (const socket of this.#sockets) socket.destroy();
  }

  #mayGreet({ remoteAddress }: net.Socket): boolean {
    if (this.#pending.size >= MOST_PENDING) return false;
    let same = 0;
    for (const end of this.#pending) if (end.startsWith(`${remoteAddress} `)) same++;
    return same < MOST_PENDING_PER_ADDRESS;
  }

  async #take(socket: TLSSocket): Promise<void> {
    const { admit, add, log } = this.#parts;
    this.#sockets.add(socket);
    socket.once('close', () => this.#sockets.delete(socket));
    socket.on('error', () => undefined);
    if (socket.alpnProtocol !== RELAY_ALPN) {
      socket.destroy();
      return;
    }
    try {
      if (!this.#dials.may(boxNamedBy(socket))) throw new HearthError('forbidden', 'it dials too often');
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
      if (!add(boxId, session, socket)) {
        log.warn({ boxId }, 'the relay is full: a box was sent away');
        session.destroy();
        socket.destroy();
      }
    } catch (error) {
      log.info({ err: messageOf(error), from: socket.remoteAddress }, 'a box was turned away');
      socket.destroy();
    }
  }
}

/** Address and port of the other end: no two connections have the same. */
function endOf(socket: net.Socket): string {
  return `${socket.remoteAddress} ${socket.remotePort}`;
}
