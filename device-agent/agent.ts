import { randomUUID } from 'node:crypto';
import { mkdir } from 'node:fs/promises';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Logger } from 'pino';
import { messageOf } from '#protocol/errors.ts';
import type { BoxStatus } from '#protocol/http-box.ts';
import { Account } from './account/account.ts';
import { ActivityLog } from './activity/activity.ts';
import { Away } from './away/away.ts';
import { BoxCertificate } from './certificate/box-certificate.ts';
import { certificateState } from './certificate/certificate-state.ts';
import { Commands } from './commands/commands.ts';
import { DiskWatch } from './disk-watch.ts';
import { within } from './disks/places.ts';
import type { Disks } from './disks/wiring.ts';
import { openDisks } from './disks/wiring.ts';
import { errnoOf } from './durable/durable-file.ts';
import { Evictor } from './evict/evictor.ts';
import type { Downloads } from './fetch/downloads.ts';
import type { Fetching } from './fetch/fetching.ts';
import { openFetching } from './fetch/fetching.ts';
import { heartbeatOf } from './heartbeat.ts';
import type { Identity } from './identity/identity.ts';
import { StateDirectory } from './identity/identity.ts';
import { lineStatus, makeDashboard } from './lan/dashboard.ts';
import type { LanServer } from './lan/lan-server.ts';
import { Password } from './lan/password.ts';
import { IntegrityNews } from './link/integrity-news.ts';
import type { MembershipParts } from './link/membership.ts';
import { Membership } from './link/membership.ts';
import type { LogRing } from './logs/log-ring.ts';
import { compileAsUsual } from './memory/compiling.ts';
import { IdleCollector } from './memory/idle-collector.ts';
import type { Options } from './options.ts';
import { urlOf } from './options.ts';
import { Executor } from './plan/executor.ts';
import { BoxReaching } from './reach/box-reach.ts';
import { Relaying } from './relay/relaying.ts';
import { ContentServer } from './serve/content-server.ts';
import { CONTENT_LIMITS } from './serve/limits.ts';
import { ServingMeter } from './serve/meter.ts';
import { CertificateFiles, Certificates } from './serve/tls/certificates.ts';
import { TokenGate } from './serve/token-gate.ts';
import { Validity } from './serve/validity.ts';
import { Household } from './settings/household.ts';
import { contentOf, statusOf } from './status.ts';
import type { Disk } from './store/disk.ts';
import { isMediumError } from './store/disk-health.ts';
import { IntegrityCheck } from './store/integrity.ts';
import { Store } from './store/store.ts';
import { StoreNews } from './store-news.ts';
import { Clock } from './time/clock.ts';
import { BoxUpdate } from './update/box-update.ts';
import { SELF_TEST_SITE } from './update/self-test.ts';
import type { Line } from './uplink/line.ts';
import { openLine } from './uplink/line.ts';
import type { Uplink } from './uplink/uplink.ts';

const MOST_BATCHES = 1_000;
/** How often the certificate's files are looked at, ms. */
const CERTIFICATE_MS = 10_000;
/** What lies on the disk may take this long to be read before the box goes on without it, ms. */
const DISK_START_MS = 15_000;
/** How long the last batches may take to be settled at the end, ms. */
const LAST_WORDS_MS = 2_000;

/** The whole box: makes every part, joins them, and takes them apart again in the right order. */
export class Agent {
  readonly #options: Options;
  readonly #log: Logger;
  readonly #clock = new Clock();
  readonly household: Household;
  readonly #uplink: Uplink;
  readonly #line: Line;
  readonly #activity = new ActivityLog(() => this.#clock.stamp());
  readonly #meter = new ServingMeter(this.#clock, compileAsUsual);
  readonly #tokens = new TokenGate();
  readonly #validity = new Validity(this.#clock);
  /** Of the content port; whoever obtains one hands it in. */
  readonly certificates = new Certificates();
  #certificateFiles: CertificateFiles | null = null;
  readonly #disks: Disks;
  readonly #disk: Disk;
  readonly #store: Store;
  readonly #fetching: Fetching;
  readonly #downloads: Downloads;
  readonly #executor: Executor;
  readonly #evictor: Evictor;
  readonly #integrity: IntegrityCheck;
  readonly #account: Account;
  readonly #content: ContentServer;
  readonly #commands: Commands;
  readonly #password: Password;
  readonly #lan: LanServer;
  readonly #watch: DiskWatch;
  readonly #integrityNews = new IntegrityNews();
  readonly #away: Away;
  readonly #reach: BoxReaching;
  readonly #relaying: Relaying;
  readonly #membership: Membership;
  readonly #collector: IdleCollector;
  readonly #update: BoxUpdate;
  #contentUrl = '';
  /** What it listens on, once it does. */
  #contentPort = 0;
  /** Where boxes of the same network find the content. */
  #lanUrl = '';

  /**
   * Reads the state directory, looks at the disk, listens.
   * @param restart ends this process so that its launcher starts another version; returns at once
   * @throws HearthError when the state is damaged
   */
  static async start(
    options: Options,
    log: Logger,
    logs: LogRing | null = null,
    restart: () => void = () => undefined,
  ): Promise<Agent> {
    const state = new StateDirectory(options.stateDir);
    await state.open();
    const opened = {
      state,
      household: await Household.open(options.stateDir, options.household),
      certificate: await BoxCertificate.open(options.stateDir),
      identity: await state.readIdentity(),
    };
    const agent = new Agent(options, opened, log, logs, restart);
    await agent.#start();
    return agent;
  }

  private constructor(
    options: Options,
    opened: {
      state: StateDirectory;
      household: Household;
      certificate: BoxCertificate;
      identity: Identity | null;
    },
    log: Logger,
    logs: LogRing | null,
    restart: () => void,
  ) {
    const { state, household, certificate, identity } = opened;
    const clock = this.#clock;
    const stamp = () => clock.stamp();
    this.#options = options;
    this.household = household;
    this.#log = log;
    this.#membership = new Membership({
      state,
      identity,
      invitation: options,
      heartbeatMs: options.heartbeatMs,
      activity: this.#activity,
      clock,
      log,
      session: () => this.#sessionParts(),
      onPaired: async (paired) => {
        this.#tokens.configure(null, null);
        await this.#disk.belongTo(paired.boxId);
      },
      onSession: (member) => void this.#relaying.begin(member),
      onSettings: (settings) => {
        this.#tokens.configure(settings.boxId, Buffer.from(settings.deliveryKey, 'base64url'));
        this.#relaying.configure(settings);
      },
      onLink: (linkState) => {
        this.#validity.setLinked(linkState === 'online');
        this.#reach.setOnline(linkState === 'online');
      },
    });
    this.#disks = openDisks({
      wish: {
        path: options.diskPath,
        onRoot: options.diskOnRoot,
        floorBytes: options.diskFloorBytes,
        probeMs: options.diskProbeMs,
      },
      stateDir: options.stateDir,
      household,
      boxId: () => this.#membership.boxId,
      stamp,
      log,
    });
    this.#disk = this.#disks.disk;
    this.#line = openLine({
      household,
      disk: this.#disk,
      meter: this.#meter,
      clock,
      log,
      fleetUrl: () => this.#membership.fleetUrl,
    });
    this.#uplink = this.#line.uplink;
    this.#store = new Store(this.#disk, log);
    this.#fetching = openFetching({
      store: this.#store,
      uplink: this.#uplink,
      clock,
      log,
      retryMs: options.retryMs,
      connectionsPerHost: options.originConnections,
      askFleet: (sha256s) => this.#membership.session?.wantSources(sha256s) ?? false,
      onEnd: () => this.#executor.wake(),
    });
    this.#downloads = this.#fetching.downloads;
    this.#executor = new Executor({ store: this.#store, downloads: this.#downloads, clock, log });
    this.#evictor = new Evictor({
      store: this.#store,
      clock,
      log,
      propose: async (message) => (await this.#membership.session?.proposeEvictions(message)) ?? false,
      replan: () => this.#executor.wake(),
    });
    this.#integrity = new IntegrityCheck({
      store: this.#store,
      clock,
      log,
      options: {
        bytesPerSecond: options.checkBytesPerSecond,
        periodMs: options.scrubPeriodMs,
        busy: () => this.#meter.responses > 0,
        alongside: (sha256) => this.#content.encodings.recheck(sha256),
        onProgress: (found, finished) => this.#integrityProgress(found, finished),
      },
    });
    this.#account = new Account({
      flushMs: options.deliveryFlushMs,
      maxBatches: MOST_BATCHES,
      stamp,
      log,
      onReady: () => this.#membership.session?.pumpDeliveries(),
      onTrouble: (error) => {
        // In the state directory it says nothing about the disk.
        const named = options.deliveriesOn === 'disk' ? this.#disk.failed(error) : error;
        log.warn({ reason: messageOf(named) }, 'deliveries could not be written');
      },
    });
    this.#content = new ContentServer({
      store: this.#store,
      tokens: this.#tokens,
      meter: this.#meter,
      clock,
      log,
      limits: {
        ...CONTENT_LIMITS,
        maxConnections: options.maxConnections,
        client: {
          ...CONTENT_LIMITS.client,
          connections: options.clientConnections,
          requestsPerSecond: options.clientRequestsPerSecond,
        },
      },
      boxId: () => this.#membership.boxId,
      routerUrl: () => this.#membership.settings?.routerUrl ?? null,
      workers: options.workers > 1 ? { count: options.workers, script: process.argv[1] ?? '' } : null,
      up: this.#uplink.up,
      accepting: () => this.#uplink.accepting,
      ageSeconds: (issuedAtMs) => this.#validity.ageSeconds(issuedAtMs),
      onDelivered: ({ token, siteId, prefix }, assetId, bytes, requests) => {
        if (siteId === SELF_TEST_SITE) return;
        this.#account.record({ token, siteId, prefix, assetId, bytes, requests });
        this.#evictor.used(assetId, bytes, requests);
      },
      onReadFailed: (sha256, error) => {
        log.warn(
          { sha256, reason: messageOf(this.#disk.failed(error, sha256)) },
          'an object could not be read',
        );
        // What was open on a disk that has gone says nothing of the object: looked for while the disk that came back is
        // being read, it would be taken for lost, and fetched again.
        if (errnoOf(error) === 'ESTALE') return;
        if (isMediumError(errnoOf(error))) this.#watch.quarantine(sha256);
        else this.#integrity.recheck(sha256);
      },
    });
    this.#commands = new Commands({
      store: this.#store,
      clock,
      configure: (settings) => this.#membership.configure(settings),
      certificate: (chain) => certificate.accept(chain),
      update: (order) => this.#update.order(order),
      sendHardware: () => this.#membership.session?.sendHardware(),
      sendIndex: () => this.#membership.session?.sendIndex(),
      report: (reports) => {
        for (const report of reports) this.#membership.session?.report(report);
      },
      replan: () => this.#executor.wake(),
    });
    this.#away = new Away(options.stateDir, {
      activity: this.#activity,
      monotonic: () => clock.monotonic(),
      stamp,
      hasPassword: () => this.#password.isSet,
      boxId: () => this.#membership.boxId,
      relays: () => this.#membership.settings?.dashboardUrls ?? [],
      serve: (connection, visitor) => this.#lan.takeAway(connection, visitor),
      end: (sessions) => this.#membership.session?.endAway(sessions) ?? Promise.resolve(false),
      isLinked: () => this.#membership.session?.online ?? false,
      log,
    });
    this.#away.onChange(() => this.#membership.session?.beat());
    this.#relaying = new Relaying({
      certificate,
      certificates: this.certificates,
      content: this.#content,
      request: (csr) => this.#membership.session?.requestCertificate(csr),
      dashboard: this.#away,
      clock,
      log,
      onChange: () => this.#membership.session?.beat(),
    });
    this.#reach = new BoxReaching({
      bind: options.bind,
      port: () => this.#contentPort,
      securePort: () => this.#content.securePort,
      relaySecurePort: () => this.#membership.settings?.securePort ?? null,
      mapping: options.portMapping,
      configuredUrl: options.contentUrl,
      checkMs: options.portCheckMs,
      // Without an identity nothing need outlive the process.
      secret: identity?.privateKey ?? randomUUID(),
      askFleet: (targets) => this.#membership.session?.wantDialled(targets),
      relay: () => ({ state: this.#relaying.state }),
      certificate: () =>
        certificateState({
          serverName: this.#membership.settings?.serverName ?? null,
          current: certificate.current,
          problem: this.#membership.settings?.certificateProblem ?? null,
          nowMs: clock.bestNow(),
        }),
      onChange: () => this.#membership.session?.beat(),
      now: () => clock.monotonic(),
      log,
    });
    this.#collector = new IdleCollector({
      busy: () => this.#meter.responses > 0 || this.#downloads.running > 0,
    });
    this.#update = new BoxUpdate({
      options,
      store: this.#store,
      disk: this.#disk,
      uplink: this.#uplink,
      household,
      clock,
      log,
      session: () => this.#membership.session,
      identity: () => this.#membership.settings,
      contentUrl: () => this.#lanUrl,
      restart,
    });
    this.#password = new Password(options.stateDir);
    this.#lan = this.#makeLan(logs);
    new StoreNews(this.#store, this.#activity, {
      report: (report) => this.#membership.session?.report(report),
      replan: () => this.#executor.wake(),
    });
    this.#watch = new DiskWatch({
      store: this.#store,
      downloads: this.#downloads,
      content: this.#content,
      integrity: this.#integrity,
      account: options.deliveriesOn === 'disk' ? this.#account : null,
      activity: this.#activity,
      log,
      recall: () => this.#evictor.recall(),
      replan: () => this.#executor.wake(),
      sendIndex: () => this.#membership.session?.sendIndex(),
    });
  }

  /** Where the dashboard and the content are. */
  urls = { lanUrl: '', contentUrl: '' };

  async #start(): Promise<void> {
    const { bind, contentPort, lanPort, contentUrl, stateDir, deliveriesOn, tlsFiles, tlsPort } =
      this.#options;
    await this.#password.open();
    await this.#away.open();
    this.#activity.add('started');
    await this.#membership.open();
    if (deliveriesOn === 'state') {
      const folder = path.join(stateDir, 'deliveries');
      await mkdir(folder, { recursive: true, mode: 0o700 });
      await this.#account.useFolder(folder);
    }
    const listening = await this.#content.listen(contentPort, bind);
    this.#contentPort = listening;
    if (tlsFiles) {
      this.#certificateFiles = new CertificateFiles(tlsFiles, this.certificates, CERTIFICATE_MS, this.#log);
      await this.#certificateFiles.settled();
    }
    await this.#content.listenSecurely(tlsPort, bind, this.certificates);
    this.#lanUrl = urlOf(bind, listening);
    this.#contentUrl = contentUrl ?? this.#lanUrl;
    const lanUrl = urlOf(bind, await this.#lan.listen(lanPort, bind));
    this.urls = { lanUrl, contentUrl: this.#contentUrl };
    await this.#reach.start();
    // Only now: a disk that hangs must not keep the dashboard from saying so.
    this.#disks.mounts.start();
    await this.#disk.start();
    await within(this.#watch.settled(), DISK_START_MS, undefined);
    await within(this.#line.settled(), DISK_START_MS, undefined);
    await this.#update.start();
    await this.#membership.start();
  }

  /** Drains, settles what can be settled, and closes everything. */
  async close(): Promise<void> {
    this.#collector.close();
    await this.#membership.retire();
    await this.#update.close();
    await this.#certificateFiles?.close();
    await this.#content.drain(this.#options.drainMs);
    // After the last response: those under way come through the mapping.
    await this.#reach.close();
    this.#away.close();
    await this.#relaying.close();
    await this.#evictor.close();
    await this.#executor.close();
    await this.#fetching.close();
    await this.#integrity.close();
    await this.#account.roll();
    const deadline = performance.now() + LAST_WORDS_MS;
    while (this.#membership.session?.online && this.#account.unsettled > 0 && performance.now() < deadline)
      await sleep(50);
    await this.#membership.close();
    await this.#account.close();
    await this.#store.close();
    await this.#line.close();
    this.#disks.mounts.close();
    await this.#disk.close();
    await this.#lan.close();
  }

  #sessionParts(): ReturnType<MembershipParts['session']> {
    return {
      store: this.#store,
      account: this.#account,
      execute: (command) => this.#commands.execute(command),
      heartbeat: () =>
        heartbeatOf({
          urls: {
            contentUrl: this.#reach.contentUrl() ?? this.#contentUrl,
            secureUrl: this.#secureUrl(),
            lanUrl: this.#lanUrl,
          },
          awayKeySha256: this.#away.keySha256,
          store: this.#store,
          content: this.#content,
          meter: this.#meter,
        }),
      onSources: (sources) => this.#fetching.peers.take(sources),
      onAwaySessions: ({ sessions }) => this.#away.tell(sessions),
      onDialled: (message) => this.#reach.dialled(message),
      onEvictionsVerdict: (verdict) => this.#evictor.verdict(verdict),
      onGreeted: () => {
        this.#evictor.linked();
        this.#fetching.peers.beginSession();
        this.#tellIntegrity();
        this.#relaying.askForCertificate();
        this.#update.tell();
      },
    };
  }

  /** Where TLS is taken, as far as this box knows; with an address set by hand nothing is. */
  #secureUrl(): string | null {
    const port = this.#content.securePort;
    if (port === null || this.#options.contentUrl !== null) return null;
    return this.#reach.secureUrl() ?? urlOf(this.#options.bind, port).replace(/^http:/, 'https:');
  }

  #integrityProgress(found: { sha256: string; chunkIndex: number }[], finished: boolean): void {
    const { checkedChunks, totalChunks, damagedChunks } = this.#integrity.progress;
    for (const { sha256, chunkIndex } of found.slice(0, 20)) {
      this.#activity.add('chunk_damaged', { sha256, chunkIndex });
    }
    if (finished) this.#activity.add('integrity_finished', { checkedChunks, damagedChunks });
    this.#integrityNews.add({ finished, checkedChunks, totalChunks, damaged: found });
    this.#tellIntegrity();
    if (found.length > 0) this.#executor.wake();
  }

  #tellIntegrity(): void {
    this.#membership.session?.sendIntegrity(this.#integrityNews).catch((error) => {
      this.#log.error({ reason: messageOf(error) }, 'findings of the integrity check could not be told');
    });
  }

  #makeLan(logs: LogRing | null): LanServer {
    return makeDashboard({
      household: this.household,
      activity: this.#activity,
      password: this.#password,
      webuiDir: this.#options.webuiDir,
      monotonic: () => this.#clock.monotonic(),
      urls: () => this.urls,
      routerUrl: () => this.#membership.settings?.routerUrl ?? null,
      log: this.#log,
      status: () => this.#status(),
      content: (query) => contentOf(this.#store, query),
      earnings: () => this.#membership.session?.earnings ?? null,
      defaultFleetUrl: () => this.#membership.fleetUrl,
      pair: (claimCode, fleetUrl) => this.#membership.pair(claimCode, fleetUrl),
      disks: this.#disks.choice,
      uplink: this.#uplink,
      testUplink: (signal) => this.#line.test.run(signal),
      reach: this.#reach,
      scrub: () => this.#integrity.progress,
      away: this.#away,
      logs,
    });
  }

  #status(): BoxStatus {
    const identity = this.#membership.identity;
    return statusOf({
      box: { id: identity?.boxId ?? null, label: identity?.label ?? null },
      link: this.#membership.link(),
      contentUrl: this.#contentUrl,
      uplink: lineStatus(this.#uplink.view(), this.#clock.bestNow()),
      update: this.#update.status(),
      store: this.#store,
      meter: this.#meter,
      // Without a clock there is no day: what was served since the start.
      servedToday: this.#uplink.today() ?? {
        bytes: this.#meter.bytesTotal,
        requests: this.#meter.requestsTotal,
      },
      content: this.#content,
      integrity: this.#integrity,
      account: this.#account,
    });
  }
}
