import { createHash } from 'node:crypto';
import type { Logger } from 'pino';
import { hostAndPort } from '#protocol/addresses.ts';
import type { DownMessage } from '#protocol/messages.ts';
import type { BoxReach, CertificateState, DialTarget } from '#protocol/reach.ts';
import { Dialler } from './dialler.ts';
import { NatPmpMapper } from './natpmp/natpmp.ts';
import { type Network, networkOf, readTables } from './network.ts';
import { Announcements } from './pcp/announcements.ts';
import { PcpMapper } from './pcp/pcp.ts';
import { Reach } from './reach.ts';
import type { RelayState } from './report.ts';
import { UpnpMapper } from './upnp/upnp.ts';

export interface BoxReachOptions {
  port: () => number;
  /** Where TLS is taken; null while it is not. */
  securePort: () => number | null;
  /** Where clients find boxes' TLS at relays: asked for outside, so that a box has one URL either way. */
  relaySecurePort: () => number | null;
  bind: string;
  mapping: boolean;
  configuredUrl: string | null;
  checkMs: number;
  /** What only this box knows, such as its key; it is hashed. */
  secret: string | Uint8Array;
  /** Asks the fleet to dial; the answer comes to `dialled`. */
  askFleet: (targets: DialTarget[]) => void;
  relay: () => RelayState;
  /** How the certificate of the box's own name stands; null: it has no name. */
  certificate: () => CertificateState | null;
  onChange: () => void;
  now: () => number;
  log: Logger;
}

/** How clients get to this box: the ladder with its parts joined, for the agent to start, feed and stop. */
export class BoxReaching {
  readonly #reach: Reach;
  /** The same for TLS, which has a port of its own. */
  readonly #secure: Reach;
  readonly #dialler: Dialler;
  readonly #announcements: Announcements;
  readonly #options: BoxReachOptions;
  #network: Network | null = null;

  constructor(options: BoxReachOptions) {
    this.#options = options;
    const { now, secret, askFleet } = options;
    this.#dialler = new Dialler(askFleet);
    const parts = {
      ...options,
      mappers: {
        pcp: new PcpMapper({
          now,
          secret: createHash('sha256').update('hearth pcp').update(secret).digest(),
        }),
        natpmp: new NatPmpMapper({ now }),
        upnp: new UpnpMapper(),
      },
      dial: (targets: DialTarget[], signal: AbortSignal) => this.#dialler.dial(targets, signal),
      readNetwork: async () => {
        this.#network = networkOf(await readTables());
        return this.#network;
      },
    };
    this.#reach = new Reach(parts);
    this.#secure = new Reach({
      ...parts,
      port: () => options.securePort() ?? 0,
      outsidePort: options.relaySecurePort,
      secure: true,
      log: options.log.child({ part: 'tls' }),
    });
    this.#announcements = new Announcements({
      routers: () => [this.#network?.gateways.ipv4?.address],
      onRestart: () => {
        this.#reach.routerRestarted();
        this.#secure.routerRestarted();
      },
    });
  }

  /** Begins to climb. Content must be listening. */
  async start(): Promise<void> {
    if (this.#options.mapping && !this.#reach.idle) this.#announcements.start();
    await this.#reach.start();
    await this.#secure.start();
  }

  setOnline(online: boolean): void {
    this.#reach.setOnline(online);
    this.#secure.setOnline(online);
  }

  dialled(message: DownMessage<'dialled'>): void {
    this.#dialler.dialled(message.results);
  }

  /** Where clients are best sent; null: nothing is known beyond the local network. */
  contentUrl(): string | null {
    if (this.#options.configuredUrl !== null) return this.#options.configuredUrl;
    const endpoint = this.#reach.endpoint();
    return endpoint && `http://${hostAndPort(endpoint.address, endpoint.port)}`;
  }

  /** The same over TLS, by address; null: TLS is not taken, or nothing is known. */
  secureUrl(): string | null {
    if (this.#options.configuredUrl !== null || this.#options.securePort() === null) return null;
    const endpoint = this.#secure.endpoint();
    return endpoint && `https://${hostAndPort(endpoint.address, endpoint.port)}`;
  }

  report(): BoxReach {
    return { ...this.#reach.report(), certificate: this.#options.certificate() };
  }

  retry(): void {
    this.#reach.retry();
    this.#secure.retry();
  }

  /** Gives mappings back. */
  async close(): Promise<void> {
    this.#announcements.close();
    await Promise.all([this.#reach.close(), this.#secure.close()]);
  }
}
