import http2 from 'node:http2';
import net from 'node:net';
import type { Server, TLSSocket } from 'node:tls';
import { createServer } from 'node:tls';
import type { Logger } from 'pino';
import { boxNamedBy } from '#fleet/boxes/admission.ts';
import { HearthError, messageOf } from '#protocol/errors.ts';
import { RELAY_ALPN } from '#protocol/relay.ts';
import { flowOfAddress } from '#shaping/shaper.ts';
import { DialLimit } from './dial-limit.ts';
import type { QueueLimits } from './queue.ts';
import { Queue } from './queue.ts';
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
 * When a relay has restarted thousands dial together: taken all at the same time, none would be through before it gives
 * up, and the work done for it would be lost. Who waits costs a socket from which nothing is read; who finds no room
 * is closed at once and comes again after its back-off. Boxes give a dial 15 s, so that a handshake is begun up to
 * 10 s after they came.
 */
const QUEUE_LIMITS: QueueLimits = {
  atOnce: 256,
  // One that says nothing must not shut out the others.
  atOncePerAddress: 64,
  waiting: 4096,
  waitingPerAddress: 2048,
  waitMs: 10_000,
};
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
  /** Connections from accept to admission, by their other end. */
  readonly #coming = new Map<string, net.Socket>();
  readonly #queue = new Queue<string>({
    limits: QUEUE_LIMITS,
    begin: (end) => void this.#server.emit('connection', this.#coming.get(end)),
    refuse: (end) => this.#coming.get(end)?.destroy(),
    now: () => performance.now(),
  });

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
      (socket) => {
        const end = endOf(socket);
        void this.#take(socket).finally(() => this.#came(end));
      },
    );
    this.#port = net.createServer({ pauseOnConnect: true }, (socket) => {
      socket.on('error', () => undefined);
      // It was reset before it was taken.
      if (socket.remoteAddress === undefined) {
        socket.destroy();
        return;
      }
      const end = endOf(socket);
      socket.once('close', () => this.#came(end));
      this.#coming.set(end, socket);
      this.#queue.arrive(end, addressIn(end));
    });
    this.#server.on('tlsClientError', (error) =>
      parts.log.debug({ err: error.message }, 'a handshake failed'),
    );
  }

  /** @returns the port */
  async listen(port: number, host: string): Promise<number> {
    await new Promise<void>((resolve, reject) => {
      this.#port.once('error', reject);
      this.#port.listen({ port, host, backlog: QUEUE_LIMITS.waiting }, resolve);
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
    for (const socket of this.#coming.values()) socket.destroy();
    for (const socket of this.#sockets) socket.destroy();
  }

  /** It is admitted, or gone. */
  #came(end: string): void {
    if (this.#coming.delete(end)) this.#queue.leave(end, addressIn(end));
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

/** Whose turns it takes: an IPv6 flood has as many addresses as it likes, all in one /64. */
function addressIn(end: string): string {
  return flowOfAddress(end.slice(0, end.indexOf(' ')));
}
