import { createHash } from 'node:crypto';
import type { Logger } from 'pino';
import { hostAndPort } from '#protocol/addresses.ts';
import type { DownMessage } from '#protocol/messages.ts';
import type { BoxReach, DialTarget } from '#protocol/reach.ts';
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
  bind: string;
  mapping: boolean;
  configuredUrl: string | null;
  checkMs: number;
  /** What only this box knows, such as its key; it is hashed. */
  secret: string | Uint8Array;
  /** Asks the fleet to dial; the answer comes to `dialled`. */
  askFleet: (targets: DialTarget[]) => void;
  relay: () => RelayState;
  onChange: () => void;
  now: () => number;
  log: Logger;
}

/** How clients get to this box: the ladder with its parts joined, for the agent to start, feed and stop. */
export class BoxReaching {
  readonly #reach: Reach;
  readonly #dialler: Dialler;
  readonly #announcements: Announcements;
  readonly #options: BoxReachOptions;
  #network: Network | null = null;

  constructor(options: BoxReachOptions) {
    this.#options = options;
    const { now, secret, askFleet } = options;
    this.#dialler = new Dialler(askFleet);
    this.#reach = new Reach({
      ...options,
      mappers: {
        pcp: new PcpMapper({
          now,
          secret: createHash('sha256').update('hearth pcp').update(secret).digest(),
        }),
        natpmp: new NatPmpMapper({ now }),
        upnp: new UpnpMapper(),
      },
      dial: (targets, signal) => this.#dialler.dial(targets, signal),
      readNetwork: async () => {
        this.#network = networkOf(await readTables());
        return this.#network;
      },
    });
    this.#announcements = new Announcements({
      routers: () => [this.#network?.gateways.ipv4?.address],
      onRestart: () => this.#reach.routerRestarted(),
    });
  }

  /** Begins to climb. Content must be listening. */
  async start(): Promise<void> {
    if (this.#options.mapping && !this.#reach.idle) this.#announcements.start();
    await this.#reach.start();
  }

  setOnline(online: boolean): void {
    this.#reach.setOnline(online);
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

  report(): BoxReach {
    return this.#reach.report();
  }

  retry(): void {
    this.#reach.retry();
  }

  /** Gives mappings back. */
  async close(): Promise<void> {
    this.#announcements.close();
    await this.#reach.close();
  }
}
