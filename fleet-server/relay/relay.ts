import { randomUUID } from 'node:crypto';
import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Logger } from 'pino';
import { admitBox, noLongerAdmitted } from '#fleet/boxes/admission.ts';
import type { Database } from '#fleet/database/database.ts';
import type { FleetKeys } from '#fleet/keys/fleet-keys.ts';
import { messageOf } from '#protocol/errors.ts';
import type { AwayDoor } from './away/door.ts';
import { RelayCounts } from './counts.ts';
import { asksWho } from './greeting.ts';
import { Meetings } from './meetings.ts';
import { OwnName, type OwnNameParts } from './own-name.ts';
import { OwnTls } from './own-tls.ts';
import { PASSTHROUGH_LIMITS, Passthrough } from './passthrough.ts';
import { RelayRegister } from './register.ts';
import { dashboardRelayOf } from './standing.ts';
import { FORWARD_LIMITS, Forwarder } from './terminating.ts';
import type { TollRates } from './tolls.ts';
import { Tolls } from './tolls.ts';
import { TunnelListener } from './tunnel-listener.ts';
import { TUNNEL_LIMITS, Tunnels } from './tunnels.ts';

export interface RelayOptions {
  host: string;
  /** Where boxes dial in; 0 takes any free port, here and below. */
  tunnelPort: number;
  /** Where clients ask for `/b/<box id>/...`. */
  httpPort: number;
  /** Where clients' TLS comes in that is carried through unread; null: none is taken. */
  tlsPort: number | null;
  /** What boxes and clients are told, where it is not host and port. */
  tunnelUrl?: string | undefined;
  publicUrl?: string | undefined;
  /** What boxes' names resolve to; default: the host. */
  addresses?: string[] | undefined;
  /** Names boxes reach it by, for its certificate. */
  names: string[];
  /** How long running streams may take to end when it stops, ms. */
  drainMs: number;
  /** What the line may carry; default: no bound. */
  rates?: TollRates | undefined;
  /** PEM files of its own certificate: with them it is reached by TLS under its own name too. */
  ownTls?: { cert: string; key: string } | undefined;
  /** Its own name in the fleet's zone, whose certificate the fleet gets; instead of `ownTls`. */
  ownName?: Pick<OwnNameParts, 'name' | 'label' | 'folder'> & Partial<Pick<OwnNameParts, 'now' | 'lookMs'>>;
  /** The dashboard's files, to be carried to boxes' owners; only with `ownTls` or `ownName`. */
  webuiDir?: string | undefined;
  /** What boxes' names end with; default: they have none. */
  boxDomain?: string | undefined;
}

export interface RelayParts {
  db: Database;
  keys: FleetKeys;
  options: RelayOptions;
  log: Logger;
  /** Where a client goes on whose box is not here; null: it is told to come again. */
  elsewhere: (boxId: string, path: string) => string | null;
  /** The box a server name belongs to. */
  boxOf: (serverName: string) => Promise<string | null>;
}

const RECHECK_MS = 15_000;
/** Boxes that come or change within this are looked up in one query, ms. */
const GATHER_MS = 50;
/** Boxes have this long to come to another relay before this one stops to take clients, ms. */
const MOVE_MS = 2_000;

/** Makes boxes reachable that nobody can reach: they dial in, clients come in, and it carries bytes between them. */
export class Relay {
  readonly urls = { tunnelUrl: '', publicUrl: '', tlsPort: 0 };
  readonly tunnels: Tunnels;
  readonly #parts: RelayParts;
  readonly #counts: RelayCounts;
  readonly #tolls: Tolls;
  readonly #listener: TunnelListener;
  readonly #passthrough: Passthrough;
  readonly #forwarder: Forwarder;
  readonly #http: Server;
  readonly #own: OwnTls | null;
  #away: AwayDoor | null = null;
  readonly #id = `relay-${randomUUID()}`;
  #register: RelayRegister | null = null;
  #meetings: Meetings | null = null;
  #ownName: OwnName | null = null;
  #recheckTimer: NodeJS.Timeout | null = null;
  readonly #doubted = new Set<string>();
  #rechecking: Promise<void> | null = null;

  /** Starts listening and tells the fleet. @throws when a port is taken */
  static async start(parts: RelayParts): Promise<Relay> {
    const certificate = await parts.keys.ca.issueServer(parts.options.names);
    const { ownTls: files = null, ownName } = parts.options;
    const own =
      files || ownName
        ? await OwnTls.open({
            files,
            connections: TUNNEL_LIMITS.streams,
            answer: (request, response) => relay.#answerOwn(request, response),
            log: parts.log,
          })
        : null;
    const relay = new Relay(parts, certificate, own);
    await relay.#start();
    return relay;
  }

  private constructor(
    parts: RelayParts,
    certificate: { keyPem: string; certificatePem: string },
    own: OwnTls | null,
  ) {
    this.#own = own;
    const { db, keys, log } = parts;
    this.#parts = parts;
    this.#counts = new RelayCounts(db, this.#id, log);
    this.tunnels = new Tunnels(TUNNEL_LIMITS, (boxId, connected) => this.#changed(boxId, connected));
    this.#listener = new TunnelListener({
      certificate: { ...certificate, caPem: keys.ca.certificatePem },
      admit: (socket) => admitBox(db, socket),
      add: (boxId, session, socket) => this.tunnels.add(boxId, session, socket),
      log,
    });
    const { tunnels } = this;
    const counts = this.#counts;
    const tolls = new Tolls(parts.options.rates ?? { total: null, perBox: null });
    this.#tolls = tolls;
    const { boxOf, elsewhere } = parts;
    this.#passthrough = new Passthrough({ tunnels, counts, tolls, limits: PASSTHROUGH_LIMITS, boxOf, own });
    this.#forwarder = new Forwarder({ tunnels, counts, tolls, limits: FORWARD_LIMITS, elsewhere });
    this.#http = createServer(
      {
        maxHeaderSize: 16 * 1024,
        headersTimeout: 10_000,
        requestTimeout: 10_000,
        keepAliveTimeout: 15_000,
        noDelay: true,
      },
      (request, response) => this.#forwarder.forward(request, response),
    );
    // A client that takes nothing for this long is cut.
    this.#http.timeout = FORWARD_LIMITS.stalledMs;
    this.#http.maxConnections = TUNNEL_LIMITS.streams;
  }

  async #start(): Promise<void> {
    const { db, log, options } = this.#parts;
    const { host } = options;
    const tunnelPort = await this.#listener.listen(options.tunnelPort, host);
    if (options.tlsPort !== null) this.urls.tlsPort = await this.#passthrough.listen(options.tlsPort, host);
    await new Promise<void>((resolve, reject) => {
      this.#http.once('error', reject);
      this.#http.listen(options.httpPort, host, resolve);
    });
    const { port } = this.#http.address() as AddressInfo;
    const named = host.includes(':') ? `[${host}]` : host;
    this.urls.tunnelUrl = options.tunnelUrl ?? `tls://${named}:${tunnelPort}`;
    this.urls.publicUrl = options.publicUrl ?? `http://${named}:${port}`;
    const dashboardUrl = await this.#openAway();
    const { ownName } = options;
    const row = {
      id: this.#id,
      // A name that is still to get its certificate is told when it has.
      dashboardUrl: ownName ? null : dashboardUrl,
      nameLabel: ownName?.label ?? null,
      tunnelUrl: this.urls.tunnelUrl,
      publicUrl: this.urls.publicUrl,
      addresses: options.addresses ?? [host],
    };
    this.#register = await RelayRegister.start({ db, row, isHere: (id) => this.tunnels.holds(id), log });
    if (ownName) {
      const register = this.#register;
      this.#ownName = await OwnName.open({
        now: Date.now,
        ...ownName,
        db,
        log,
        onChange: (certificate) => {
          this.#own?.use(certificate);
          if (dashboardUrl !== null) register.carriesDashboards(dashboardUrl);
        },
      });
    }
    if (options.tlsPort !== null && options.boxDomain !== undefined) {
      const { tunnels } = this;
      const register = this.#register;
      this.#meetings = new Meetings({ db, tunnels, register, domain: options.boxDomain, log });
    }
    this.#recheckTimer = setInterval(() => void this.recheck(''), RECHECK_MS);
  }

  /** Dashboards for who is away. @returns this relay's address for them; null where it has no name and certificate */
  async #openAway(): Promise<string | null> {
    const { db, log, options } = this.#parts;
    if (!this.#own || options.tlsPort === null) return null;
    const named = options.publicUrl?.startsWith('https://') ? options.publicUrl : null;
    const name = options.ownName?.name ?? this.#own.name;
    const base = named ?? (name && `https://${name}:${this.urls.tlsPort}`);
    if (!base) return null;
    // Loaded only by relays that have a certificate.
    const [{ AwayDoor }, { AwaySessions }, { readPages }] = await Promise.all([
      import('./away/door.ts'),
      import('./away/sessions.ts'),
      import('./away/pages.ts'),
    ]);
    this.#away = new AwayDoor({
      tunnels: this.tunnels,
      tolls: this.#tolls,
      sessions: new AwaySessions(db, log),
      pages: readPages(options.webuiDir ?? ''),
      base,
      elsewhere: (boxId) => dashboardRelayOf(db, boxId, base),
      log,
      now: () => performance.now(),
    });
    return base;
  }

  /** A request under the relay's own name, over TLS. */
  #answerOwn(request: IncomingMessage, response: ServerResponse): void {
    if (this.#away && request.url?.startsWith('/my/')) this.#away.answer(request, response);
    else this.#forwarder.forward(request, response, this.#away !== null);
  }

  /** A box counts as connected once it has said through its own tunnel who it is. */
  #changed(boxId: string, connected: boolean): void {
    const { log } = this.#parts;
    if (!connected) {
      log.info({ boxId }, 'a box has left');
      this.#meetings?.left(boxId);
      this.#register?.changed(boxId);
      return;
    }
    void asksWho(this.tunnels, boxId).then((reason) => {
      if (reason === null) {
        log.info({ boxId }, 'a box can be reached through this relay');
        this.#register?.changed(boxId);
      } else {
        log.warn({ boxId, reason }, 'a box that dialled in does not answer through its tunnel');
        this.tunnels.cut(boxId);
      }
    });
  }

  /** Cuts off boxes that may not come any more; those of one moment are looked up together. @param boxId empty: all */
  recheck(boxId: string): Promise<void> {
    for (const id of boxId === '' ? this.tunnels.boxIds() : [boxId]) {
      if (this.tunnels.holds(id)) this.#doubted.add(id);
    }
    this.#rechecking ??= this.#recheckDoubted();
    return this.#rechecking;
  }

  async #recheckDoubted(): Promise<void> {
    await sleep(GATHER_MS);
    while (this.#doubted.size > 0) {
      const ids = [...this.#doubted];
      this.#doubted.clear();
      try {
        for (const id of await noLongerAdmitted(this.#parts.db, ids)) this.tunnels.cut(id);
        void this.#meetings?.round();
      } catch (error) {
        this.#parts.log.warn(
          { err: messageOf(error) },
          'cannot look up which boxes are revoked; tried again',
        );
      }
    }
    this.#rechecking = null;
  }

  /** Sends boxes to other relays, lets running streams end within the bound, and ends. */
  async close(): Promise<void> {
    const { drainMs } = this.#parts.options;
    if (this.#recheckTimer) clearInterval(this.#recheckTimer);
    const deadline = Date.now() + drainMs;
    const left = () => Math.max(0, deadline - Date.now());
    // In this order: nobody is sent here, boxes go elsewhere, and only then are clients sent after them.
    await this.#register?.drain();
    this.#listener.stop();
    if (this.tunnels.boxes > 0) {
      this.tunnels.sendAway();
      await sleep(Math.min(MOVE_MS, left()));
    }
    this.#http.close();
    this.#passthrough.stop();
    while (this.tunnels.streams > 0 && left() > 0) await sleep(50);
    this.#http.closeAllConnections();
    this.#away?.close();
    this.#passthrough.close();
    await this.#ownName?.close();
    this.#own?.close();
    this.#tolls.close();
    this.tunnels.destroy();
    this.#listener.close();
    await this.#counts.close();
    await this.#register?.close();
  }
}
