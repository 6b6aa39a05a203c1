import type { Logger } from 'pino';
import type { Account } from '#agent/account/account.ts';
import { BatchSender } from '#agent/account/sender.ts';
import type { ActivityLog } from '#agent/activity/activity.ts';
import { readHardware } from '#agent/hardware/hardware.ts';
import type { Identity } from '#agent/identity/identity.ts';
import type { Store } from '#agent/store/store.ts';
import type { Backoff } from '#agent/time/backoff.ts';
import type { Clock } from '#agent/time/clock.ts';
import { AGENT_VERSION } from '#agent/version.ts';
import { messageOf } from '#protocol/errors.ts';
import type {
  AssetReport,
  Command,
  DownMessage,
  Earnings,
  Heartbeat,
  UpKind,
  UpMessage,
} from '#protocol/messages.ts';
import { PROTOCOL_VERSION } from '#protocol/messages.ts';
import type { DialTarget } from '#protocol/reach.ts';
import type { UpdateReport } from '#protocol/release.ts';
import type { CommandResult } from './inbox.ts';
import { Inbox } from './inbox.ts';
import { indexPages } from './index-pages.ts';
import type { IntegrityNews } from './integrity-news.ts';
import type { LinkState } from './link.ts';
import { Link } from './link.ts';
import { Reporter } from './reporter.ts';

export interface FleetSessionOptions {
  identity: Identity;
  bootId: string;
  backoff: Backoff;
  keepaliveS: number;
  heartbeatMs: number;
  store: Store;
  account: Account;
  activity: ActivityLog;
  clock: Clock;
  log: Logger;
  execute: (command: Command) => Promise<CommandResult>;
  heartbeat: () => Omit<Heartbeat, 'v' | 'at' | 'bootId' | 'refusedMessages'>;
  onState: (state: LinkState, problem: string | null) => void;
  /** Other boxes that hold an object this box asked about. */
  onSources: (sources: DownMessage<'sources'>) => void;
  onAwaySessions: (message: DownMessage<'away-sessions'>) => void;
  onDialled: (dialled: DownMessage<'dialled'>) => void;
  onEvictionsVerdict: (verdict: DownMessage<'evictions-verdict'>) => void;
  /** The fleet has been greeted: what waited for the link can be told. */
  onGreeted: () => void;
}

/** Everything this box and its fleet say to each other, for as long as the box has this identity. */
export class FleetSession {
  readonly #options: FleetSessionOptions;
  readonly #link: Link;
  readonly #inbox: Inbox;
  readonly #reporter: Reporter;
  readonly #sender: BatchSender;
  #heartbeatMs: number;
  #heartbeatTimer: NodeJS.Timeout | null = null;
  #earnings: Earnings | null = null;
  #closing = false;
  #tellingIntegrity = false;
  #telling: Promise<void> | null = null;
  /** Asked for since the telling under way began: that is broken off, and the newest told. */
  #indexAgain = false;

  constructor(options: FleetSessionOptions) {
    this.#options = options;
    this.#heartbeatMs = options.heartbeatMs;
    const { identity, clock, log, activity, bootId, backoff, keepaliveS } = options;
    this.#inbox = new Inbox({
      boxId: identity.boxId,
      commandKey: identity.commandKey,
      clock,
      log,
      execute: options.execute,
      reply: (reply) => this.#say('reply', reply),
      onDeliveriesAck: (ack) => void this.#acknowledged(ack),
      onEarnings: (earnings) => {
        this.#earnings = earnings;
      },
      onSources: options.onSources,
      onAwaySessions: options.onAwaySessions,
      onDialled: options.onDialled,
      onEvictionsVerdict: options.onEvictionsVerdict,
      onRefused: (code, reason) => activity.add('command_refused', { code, reason: reason.slice(0, 200) }),
    });
    this.#reporter = new Reporter(
      (assets) => this.#say('report', { ...this.#base(), assets }),
      () => this.sendIndex(),
    );
    this.#link = new Link({
      identity,
      bootId,
      backoff,
      keepaliveS,
      nowMs: () => clock.local(),
      log,
      onMessage: (topic, payload) => this.#inbox.take(topic, payload),
      onOnline: () => this.#greet(),
      onState: options.onState,
    });
    this.#sender = new BatchSender(options.account, (payload) =>
      this.#link.publishRaw('deliveries', payload),
    );
  }

  get online(): boolean {
    return this.#link.online;
  }
  get refused(): number {
    return this.#inbox.refused;
  }
  /** As the fleet last told them. */
  get earnings(): Earnings | null {
    return this.#earnings;
  }

  start(): void {
    this.#link.start();
  }

  /** From now on heartbeats come at this distance, ms. */
  setHeartbeat(intervalMs: number): void {
    if (intervalMs === this.#heartbeatMs) return;
    this.#heartbeatMs = intervalMs;
    this.#beat();
  }

  report(report: AssetReport): void {
    this.#reporter.add(report);
  }

  /** Tells all that is held, page by page; not before the disk has been read: what is not told is taken as gone. */
  sendIndex(): void {
    const { store, log } = this.#options;
    if (store.disk.readable && store.isLoading) return;
    this.#indexAgain = true;
    this.#telling ??= this.#tellIndex()
      .catch((error) => log.error({ reason: messageOf(error) }, 'the index could not be told'))
      .finally(() => {
        this.#telling = null;
        if (this.#indexAgain) this.sendIndex();
      });
  }

  async #tellIndex(): Promise<void> {
    const { store, clock } = this.#options;
    this.#indexAgain = false;
    // One page at a time: all of them at once would be as much memory as the catalog.
    for (const page of indexPages(reportsOf(store), store.catalog.assetCount, clock.stamp())) {
      if (this.#indexAgain || !(await this.#link.publish('index', page))) break;
    }
  }

  sendHardware(): void {
    const { store, clock, log } = this.#options;
    readHardware(store.disk.layout.root, clock.stamp(), log)
      .then((hardware) => this.#say('hardware', hardware))
      .catch((error) => log.warn({ reason: messageOf(error) }, 'the hardware could not be read'));
  }

  /** Sends what the integrity check wants told, oldest first, and keeps what does not get through. */
  async sendIntegrity(news: IntegrityNews): Promise<void> {
    if (this.#tellingIntegrity) return;
    this.#tellingIntegrity = true;
    try {
      for (let next = news.peek(); next; next = news.peek()) {
        if (!(await this.#link.publish('integrity', { ...this.#base(), ...next }))) return;
        news.told(next);
      }
    } finally {
      this.#tellingIntegrity = false;
    }
  }

  /** Asks who else holds these objects. @returns false when there is no link */
  wantSources(sha256s: string[]): boolean {
    if (!this.#link.online) return false;
    this.#say('sources-wanted', { ...this.#base(), sha256s });
    return true;
  }

  /** Asks the fleet whether clients would get through to these. `onDialled` has the answer, if there is one. */
  wantDialled(targets: DialTarget[]): void {
    this.#say('dial-wanted', { ...this.#base(), targets });
  }

  /** Asks for a certificate for the box's own name; asked again as long as none has come. */
  requestCertificate(csr: string): void {
    this.#say('certificate-request', { ...this.#base(), csr });
  }

  /** Tells how this box stands with updates; without a link it is told with the next greeting. */
  sendUpdate(report: UpdateReport): void {
    if (this.#link.online) this.#say('update', { ...this.#base(), ...report });
  }

  /** What a heartbeat tells has changed: the next one goes now. */
  beat(): void {
    if (this.#link.online) this.#beat();
  }

  /** Asks the fleet to end sessions at the dashboard from away; false when the fleet did not get it. */
  async endAway(sessions: string[]): Promise<boolean> {
    return this.#link.online && this.#link.publish('away-end', { ...this.#base(), sessions });
  }

  /** Proposes evictions, or tells of them; false when the fleet did not get it. */
  async proposeEvictions(message: UpMessage<'evictions'>): Promise<boolean> {
    return this.#link.publish('evictions', message);
  }

  /** There are new batches of deliveries. */
  pumpDeliveries(): void {
    this.#sender.pump();
  }

  /** Takes the box out of the router's choice; the link stays up for what is still to be told. */
  async retire(): Promise<void> {
    this.#closing = true;
    if (this.#heartbeatTimer) clearTimeout(this.#heartbeatTimer);
    if (this.#link.online) await this.#link.sayOffline();
  }

  async close(): Promise<void> {
    await this.retire();
    this.#reporter.close();
    this.#sender.close();
    await this.#link.close();
    await this.#inbox.close();
  }

  #base(): { v: typeof PROTOCOL_VERSION; at: string } {
    return { v: PROTOCOL_VERSION, at: this.#options.clock.stamp() };
  }

  #greet(): void {
    const { bootId } = this.#options;
    this.#inbox.beginSession();
    this.#say('hello', { ...this.#base(), bootId, agentVersion: AGENT_VERSION });
    // Before the index: what it does not name would be sent again, had the fleet not heard that it was put out.
    this.#options.onGreeted();
    this.sendIndex();
    this.#beat();
    this.sendHardware();
    this.#sender.restart();
  }

  #beat(): void {
    if (this.#heartbeatTimer) clearTimeout(this.#heartbeatTimer);
    if (this.#closing) return;
    const { bootId, heartbeat } = this.#options;
    if (this.#link.online) {
      this.#say('heartbeat', { ...this.#base(), bootId, ...heartbeat(), refusedMessages: this.refused });
    }
    this.#heartbeatTimer = setTimeout(() => this.#beat(), this.#heartbeatMs);
    this.#heartbeatTimer.unref();
  }

  async #acknowledged(ack: DownMessage<'deliveries-ack'>): Promise<void> {
    const { activity, log } = this.#options;
    const known = await this.#sender.acknowledged(ack).catch((error) => {
      log.warn({ reason: messageOf(error) }, 'a settled batch could not be removed');
      return false;
    });
    if (!known) return;
    if (ack.outcome === 'settled') {
      activity.add('settled', { acceptedBytes: ack.acceptedBytes });
    } else {
      activity.add('settlement_refused', { reason: ack.reason ?? '' });
      log.warn({ batchId: ack.batchId, reason: ack.reason }, 'the fleet refused a batch of deliveries');
    }
  }

  #say<K extends UpKind>(kind: K, message: UpMessage<K>): void {
    this.#link.publish(kind, message).catch((error) => {
      this.#options.log.error({ kind, reason: messageOf(error) }, 'a message could not be made');
    });
  }
}

function* reportsOf(store: Store) {
  for (const asset of store.catalog.assets.values()) yield store.report(asset);
}
