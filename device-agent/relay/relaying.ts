import type { Duplex } from 'node:stream';
import type { Logger } from 'pino';
import type { BoxCertificate } from '#agent/certificate/box-certificate.ts';
import type { FleetSettings, Identity } from '#agent/identity/identity.ts';
import type { ContentServer } from '#agent/serve/content-server.ts';
import type { Certificates } from '#agent/serve/tls/certificates.ts';
import type { Clock } from '#agent/time/clock.ts';
import { messageOf } from '#protocol/errors.ts';
import { pour, roomFor } from './pour.ts';
import { SocketPairs } from './socket-pairs.ts';
import type { DashboardDoor } from './tunnel.ts';
import { RelayTunnels } from './tunnels.ts';

export interface RelayingParts {
  certificate: BoxCertificate;
  /** What the content port serves with. */
  certificates: Certificates;
  content: Pick<ContentServer, 'relayed' | 'relayedConnection' | 'securePort'>;
  /** Asks the fleet for a certificate; nothing happens while there is no link, and it is asked again. */
  request: (csr: string) => void;
  /** The dashboard for who is away. */
  dashboard: DashboardDoor;
  clock: Clock;
  log: Logger;
  /** Connections to relays came or went. */
  onChange: () => void;
}

/** A certificate that is wanted is asked for again this often, ms. */
const ASK_MS = 3_600_000;

/**
 * How clients reach a box that has no port at its router's outside: through the relays the fleet names, and by a
 * name of its own with a certificate for it.
 */
export class Relaying {
  readonly #parts: RelayingParts;
  readonly #timer: NodeJS.Timeout;
  readonly #pairs = new SocketPairs();
  #tunnels: RelayTunnels | null = null;
  /** Clients' own connections that are carried. */
  #carried = 0;
  #urls: readonly string[] = [];
  #serverName: string | null = null;

  constructor(parts: RelayingParts) {
    this.#parts = parts;
    const { certificate, certificates } = parts;
    const use = ({ chain, privateKey }: { chain: string; privateKey: string }) => {
      certificates.set({ cert: chain, key: privateKey });
    };
    if (certificate.current) use(certificate.current);
    certificate.onChange(use);
    this.#timer = setInterval(() => this.askForCertificate(), ASK_MS);
    this.#timer.unref();
  }

  get state(): 'off' | 'connecting' | 'online' {
    if (this.#urls.length === 0) return 'off';
    return (this.#tunnels?.connected.length ?? 0) > 0 ? 'online' : 'connecting';
  }

  /** The relays it is connected to, nearest first. */
  get connected(): string[] {
    return this.#tunnels?.connected ?? [];
  }

  /** From now on this box is somebody: relays know it by its certificate. */
  async begin(identity: Identity): Promise<void> {
    const { clock, content, dashboard, log, onChange } = this.#parts;
    await this.#tunnels?.close();
    this.#tunnels = new RelayTunnels({
      identity,
      nowMs: () => clock.local(),
      log,
      onChange,
      onRequest: (stream, headers, client) => content.relayed(stream, headers, client),
      onConnection: (connection, client) => void this.#carry(connection, client),
      onDashboard: dashboard,
    });
    this.#tunnels.use(this.#urls);
  }

  /** What the fleet says of how this box is reached. */
  configure({ relayUrls, serverName }: Pick<FleetSettings, 'relayUrls' | 'serverName'>): void {
    this.#urls = relayUrls;
    this.#serverName = serverName;
    this.#tunnels?.use(relayUrls);
    this.askForCertificate();
  }

  /** Asks for a certificate if one is wanted. Harmless to repeat. */
  askForCertificate(): void {
    const { certificate, clock, request, log } = this.#parts;
    certificate.wanted(this.#serverName, clock.fleetNow()).then(
      (csr) => {
        if (csr !== null) request(csr);
      },
      (error: unknown) => log.warn({ reason: messageOf(error) }, 'a certificate cannot be asked for'),
    );
  }

  async close(): Promise<void> {
    clearInterval(this.#timer);
    await this.#tunnels?.close();
    await this.#pairs.close();
  }

  /** A client's own TLS: to the content server, which knows how to speak it, as if it had come from its address. */
  async #carry(connection: Duplex, client: string): Promise<void> {
    const { content, log } = this.#parts;
    connection.on('error', () => undefined);
    if (content.securePort === null) {
      connection.destroy();
      return;
    }
    try {
      const { near, far } = await this.#pairs.make();
      near.on('error', () => connection.destroy());
      near.once('close', () => connection.destroy());
      connection.once('close', () => near.destroy());
      content.relayedConnection(far, client);
      if (connection.destroyed) near.destroy();
      this.#carried++;
      near.once('close', () => {
        this.#carried--;
      });
      connection.pipe(near);
      pour(near, connection, () => roomFor(this.#carried));
    } catch (error) {
      log.warn({ reason: messageOf(error) }, 'a relayed connection could not be taken');
      connection.destroy();
    }
  }
}
