import type { IncomingHttpHeaders, ServerHttp2Stream } from 'node:http2';
import type { Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Logger } from 'pino';
import type { Store } from '#agent/store/store.ts';
import type { Clock } from '#agent/time/clock.ts';
import { messageOf } from '#protocol/errors.ts';
import type { Shaper } from '#shaping/shaper.ts';
import { Connections } from './connections.ts';
import { Decider } from './decide.ts';
import { Door } from './door.ts';
import { ENCODING_LIMITS, Encodings } from './encodings/encodings.ts';
import { CODINGS, keyOf, readKey } from './encodings/variant.ts';
import type { FrontParts } from './front.ts';
import { Front } from './front.ts';
import type { ContentLimits } from './limits.ts';
import type { ServingMeter } from './meter.ts';
import { Http2Outlet } from './outlet.ts';
import type { Certificate, Certificates } from './tls/certificates.ts';
import type { OpenEntitlement, TokenGate } from './token-gate.ts';
import { Crew } from './workers/crew.ts';

export interface ContentServerParts extends Pick<FrontParts, 'handles'> {
  store: Store;
  tokens: TokenGate;
  meter: ServingMeter;
  clock: Clock;
  log: Logger;
  limits: ContentLimits;
  /** The household's line: what may be sent. */
  up: Pick<Shaper, 'take' | 'ask' | 'spend' | 'giveBack'>;
  /** Who we are; null before pairing. */
  boxId: () => string | null;
  /** Where clients are sent whom we cannot serve; null before the fleet has told. */
  routerUrl: () => string | null;
  /** False while nothing new is to be served: requests go back to the router. */
  accepting: () => boolean;
  /** For the Age header: whole seconds since an asset was last known to be the site's content. */
  ageSeconds: (issuedAtMs: number) => number;
  /** Bytes the kernel took for one response; `requests` is 1 with the last of them. */
  onDelivered: (entitlement: OpenEntitlement, assetId: string, bytes: number, requests: number) => void;
  /** Reading an object failed. */
  onReadFailed: (sha256: string, error: unknown) => void;
  /** More processes that face clients; null or absent: this one does it alone. */
  workers?: WorkersWish | null;
}

export interface WorkersWish {
  /** At least 2. */
  count: number;
  /** What Node is started with to run this program. */
  script: string;
}

/** New connections are still taken, and sent back to the router, this long after a drain has begun, ms. */
const LINGER_MS = 300;

/** The content port: serves held objects to ordinary HTTP clients, sends everybody else back to the router. */
export class ContentServer {
  readonly #parts: ContentServerParts;
  /** Compressed copies of what is held. */
  readonly encodings: Encodings;
  readonly #decider: Decider;
  readonly #front: Front;
  readonly #connections: Connections;
  readonly #crew: Crew | null;
  readonly #door: Door;
  #secureDoor: Door | null = null;
  #draining = false;

  constructor(parts: ContentServerParts) {
    this.#parts = parts;
    const { limits, store } = parts;
    this.encodings = new Encodings({
      store,
      log: parts.log,
      limits: ENCODING_LIMITS,
      onGone: (key) => this.#withdraw(key, false),
      onSourceDamaged: parts.onReadFailed,
    });
    this.#decider = new Decider({ ...parts, variants: this.encodings, open: () => !this.#draining });
    this.#front = new Front({
      ...parts,
      desk: this.#decider,
      open: (key) => (readKey(key) ? this.encodings.open(key) : store.openComplete(key)),
      onVariantFailed: (key, error) => this.encodings.failed(key, error),
    });
    this.#connections = new Connections(limits.maxConnections, limits.client, parts.clock);
    store.on((event) => {
      if (event.type !== 'withdrawn') return;
      this.#withdraw(event.sha256, event.damaged);
      for (const coding of CODINGS) this.#withdraw(keyOf(event.sha256, coding), event.damaged);
    });
    this.#crew = parts.workers ? this.#makeCrew(parts.workers) : null;
    this.#door = this.#makeDoor(false);
  }

  #makeCrew(wish: WorkersWish): Crew {
    return new Crew({
      ...this.#parts,
      ...wish,
      decider: this.#decider,
      locate: (key) => (readKey(key) ? this.encodings.locate(key) : this.#parts.store.locate(key)),
      onFailed: (key, sha256, error) => this.#front.readFailed({ key, sha256 }, error),
      takeBack: ({ socket, admitted, isSecure }) => {
        socket.once('close', admitted.leave);
        this.#front.take(socket, admitted.visitor, isSecure);
        socket.resume();
      },
    });
  }

  #makeDoor(isSecure: boolean): Door {
    return new Door((socket) => this.#receive(socket, isSecure, socket.remoteAddress), {
      allowHalfOpen: !isSecure,
      unread: this.#crew !== null,
    });
  }

  #receive(socket: Socket, isSecure: boolean, address: string | undefined): void {
    const crew = this.#crew;
    if (!crew) {
      const visitor = this.#connections.enter(socket, address);
      if (visitor) this.#front.take(socket, visitor, isSecure);
      return;
    }
    socket.on('error', () => undefined);
    const cut = () => void socket.destroy();
    const admitted = this.#connections.admit(address, cut, () => void socket.resetAndDestroy());
    if (admitted) crew.take({ socket, admitted, isSecure });
    else cut();
  }

  #withdraw(key: string, damaged: boolean): void {
    this.#front.withdraw(key, damaged);
    this.#crew?.withdraw(key, damaged);
  }

  get connections(): number {
    return this.#connections.size;
  }

  /** Those of them that are in the fast lane. */
  get fastConnections(): number {
    return this.#front.fastConnections + (this.#crew?.fastConnections ?? 0);
  }

  /** Its worker processes. */
  get crew(): Crew | null {
    return this.#crew;
  }

  /** Where it takes TLS; null while it does not. */
  get securePort(): number | null {
    return this.#secureDoor?.port ?? null;
  }

  /** @returns the port it listens on */
  async listen(port: number, address: string): Promise<number> {
    return this.#door.listen(port, address);
  }

  /**
   * Listens for TLS as well, as soon as there is a certificate.
   * @returns the port once it listens; null when that will be later
   */
  async listenSecurely(port: number, address: string, certificates: Certificates): Promise<number | null> {
    const use = async (certificate: Certificate): Promise<void> => {
      this.#crew?.secure(certificate);
      await this.#front.secure(certificate);
    };
    const open = async (certificate: Certificate): Promise<number | null> => {
      const door = this.#makeDoor(true);
      this.#secureDoor = door;
      await use(certificate);
      return this.#draining ? null : door.listen(port, address);
    };
    certificates.onChange((certificate) => {
      const done = this.#secureDoor ? use(certificate) : open(certificate);
      done.catch((error: unknown) => {
        this.#secureDoor = null;
        this.#parts.log.error({ reason: messageOf(error) }, 'the content port cannot listen for TLS');
      });
    });
    return certificates.current ? open(certificates.current) : null;
  }

  /**
   * Answers a request that came through a relay.
   * @param client the address of who asks, by the relay's word
   */
  relayed(stream: ServerHttp2Stream, headers: IncomingHttpHeaders, client: string): void {
    const { ':method': method = '', ':path': target = '' } = headers;
    const visitor = this.#connections.relayed(client);
    // Nothing is read of a body; the relay forwards none.
    const plain = { ...headers, 'content-length': undefined };
    const outlet = new Http2Outlet(stream, visitor.client.flow);
    void this.#front.carryOut(outlet, { method, target, headers: plain, visitor });
  }

  /**
   * Takes a client's own TLS connection that a relay has carried here.
   * @param socket paused, with nothing read from it
   * @param client the address of who asks, by the relay's word
   */
  relayedConnection(socket: Socket, client: string): void {
    if (this.#draining || this.#secureDoor === null) {
      socket.destroy();
      return;
    }
    this.#receive(socket, true, client);
    if (!this.#crew) socket.resume();
  }

  /** Sends new requests back to the router, lets running responses end within `boundMs`, and closes. */
  async drain(boundMs: number): Promise<void> {
    this.#draining = true;
    const deadlineMs = this.#parts.clock.monotonic() + boundMs;
    await sleep(Math.min(LINGER_MS, boundMs));
    const closed = Promise.all([this.#door.close(), this.#secureDoor?.close()]);
    const left = Math.max(0, deadlineMs - this.#parts.clock.monotonic());
    await Promise.all([this.#front.drain(deadlineMs), this.#crew?.drain(left)]);
    this.#connections.destroyAll();
    await closed;
    this.#front.close();
    await this.encodings.close();
  }

  /** The disk has gone: nothing of it is to be read. */
  withdrawAll(): void {
    this.encodings.forgetAll();
    this.#front.sources.clear();
    this.#crew?.withdrawAll();
  }
}
