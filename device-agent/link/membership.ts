import { randomUUID } from 'node:crypto';
import type { Logger } from 'pino';
import type { ActivityLog } from '#agent/activity/activity.ts';
import type { FleetSettings, Identity, StateDirectory } from '#agent/identity/identity.ts';
import type { Invitation } from '#agent/identity/pairing.ts';
import { Pairing } from '#agent/identity/pairing.ts';
import type { Clock } from '#agent/time/clock.ts';
import { HearthError } from '#protocol/errors.ts';
import type { BoxStatus } from '#protocol/http-box.ts';
import type { FleetSessionOptions } from './fleet-session.ts';
import { FleetSession } from './fleet-session.ts';
import type { LinkState } from './link.ts';
import { LINK_BACKOFF } from './link.ts';

const KEEPALIVE_S = 30;

type SessionParts = Omit<
  FleetSessionOptions,
  'identity' | 'bootId' | 'backoff' | 'keepaliveS' | 'heartbeatMs' | 'onState' | 'activity' | 'clock' | 'log'
>;

export interface MembershipParts {
  state: StateDirectory;
  /** Who this box is; null before it is paired. */
  identity: Identity | null;
  /** What the options say of the fleet to pair with. */
  invitation: { claimCode: string | null; fleetUrl: string | null };
  /** Until the fleet configures it. */
  heartbeatMs: number;
  activity: ActivityLog;
  clock: Clock;
  log: Logger;
  /** What a session with the fleet is given. */
  session: () => SessionParts;
  /** The box has become somebody, and has no settings yet: resolves when the disk knows. */
  onPaired: (identity: Identity) => Promise<void>;
  /** A session with the fleet is about to begin. */
  onSession: (identity: Identity) => void;
  /** What the fleet configured, at the start as it was kept. */
  onSettings: (settings: FleetSettings) => void;
  onLink: (state: LinkState) => void;
}

/** What this box is to its fleet: paired or not, with which settings, and the session with it. */
export class Membership {
  readonly #parts: MembershipParts;
  readonly #bootId = randomUUID();
  readonly #pairing: Pairing;
  #identity: Identity | null;
  #settings: FleetSettings | null = null;
  #session: FleetSession | null = null;
  #link: BoxStatus['link'];

  constructor(parts: MembershipParts) {
    this.#parts = parts;
    const { state, identity, clock, log } = parts;
    this.#identity = identity;
    this.#link = this.#linkOf(identity ? 'connecting' : 'unpaired', null);
    this.#pairing = new Pairing({
      state,
      stamp: () => clock.stamp(),
      backoff: LINK_BACKOFF,
      log,
      onPaired: (paired) => this.#paired(paired),
    });
  }

  get identity(): Identity | null {
    return this.#identity;
  }
  get boxId(): string | null {
    return this.#identity?.boxId ?? null;
  }
  get settings(): FleetSettings | null {
    return this.#settings;
  }
  /** Null before it is paired. */
  get session(): FleetSession | null {
    return this.#session;
  }
  get fleetUrl(): string | null {
    return this.#identity?.fleetUrl ?? this.#parts.invitation.fleetUrl;
  }

  /** For the household: how things stand, and why. */
  link(): BoxStatus['link'] {
    const link = { ...this.#link, refusedMessages: this.#session?.refused ?? 0 };
    if (this.#identity) return link;
    const state = this.#pairing.active ? 'pairing' : 'unpaired';
    return { ...link, state, problem: this.#pairing.problem };
  }

  /** Takes up the settings that were kept. */
  async open(): Promise<void> {
    const settings = await this.#parts.state.readSettings();
    if (settings && settings.boxId === this.boxId) this.#use(settings);
  }

  /** Begins the session, or pairs by itself if the options say with whom. */
  async start(): Promise<void> {
    if (this.#identity) {
      this.#openSession(this.#identity);
      return;
    }
    const { state, log } = this.#parts;
    const { claimCode, fleetUrl } = this.#parts.invitation;
    const begun = await state.readPending();
    const invitations: Invitation[] = begun ? [begun] : [];
    const isBegun = begun?.fleetUrl === fleetUrl && begun?.claimCode === claimCode;
    // What was begun may have been begun with a wrong address: what the options say now is tried as well.
    if (claimCode && fleetUrl && !isBegun) invitations.push({ fleetUrl, claimCode });
    if (invitations.length > 0) this.#pairing.keepTrying(invitations);
    else if (claimCode) {
      log.warn('HEARTH_CLAIM_CODE is set but HEARTH_FLEET_URL is not: the box stays unpaired');
    }
  }

  /** @throws HearthError why it failed */
  async pair(claimCode: string, given: string | null): Promise<void> {
    if (this.#session?.online) {
      throw new HearthError('conflict', 'This box is paired and online: have the fleet remove it first.');
    }
    const fleetUrl = given ?? this.#parts.invitation.fleetUrl;
    if (!fleetUrl) throw new HearthError('bad_request', 'Say which fleet: its address is not known here.');
    await this.#pairing.pair(fleetUrl, claimCode);
  }

  /** The fleet has (re)configured this box. */
  async configure(fresh: Omit<FleetSettings, 'v' | 'boxId'>): Promise<void> {
    const { boxId } = this;
    if (!boxId) return;
    const settings: FleetSettings = { v: 1, boxId, ...fresh };
    // Written when it changed and only then: this is the internal flash.
    if (JSON.stringify(settings) !== JSON.stringify(this.#settings)) {
      this.#use(settings);
      await this.#parts.state.writeSettings(settings);
    }
    this.#session?.setHeartbeat(settings.heartbeatIntervalMs);
  }

  /** The router is to send nobody any more; the link stays up for what is still to be told. */
  async retire(): Promise<void> {
    await this.#pairing.close();
    await this.#session?.retire();
  }

  async close(): Promise<void> {
    await this.#session?.close();
  }

  async #paired(identity: Identity): Promise<void> {
    await this.#session?.close();
    this.#identity = identity;
    this.#settings = null;
    this.#parts.activity.add('paired', { boxId: identity.boxId });
    await this.#parts.onPaired(identity);
    this.#openSession(identity);
  }

  #use(settings: FleetSettings): void {
    this.#settings = settings;
    this.#parts.onSettings(settings);
  }

  #openSession(identity: Identity): void {
    const { activity, clock, log, session, heartbeatMs, onSession, onLink } = this.#parts;
    onSession(identity);
    this.#session = new FleetSession({
      ...session(),
      identity,
      bootId: this.#bootId,
      backoff: LINK_BACKOFF,
      keepaliveS: KEEPALIVE_S,
      heartbeatMs: this.#settings?.heartbeatIntervalMs ?? heartbeatMs,
      activity,
      clock,
      log,
      onState: (state, problem) => {
        onLink(state);
        if (state === 'online') log.info({ boxId: identity.boxId }, 'linked to the fleet');
        // A try that has just begun is no news to the household, nor is another that failed.
        if (state === 'online' || (state === 'offline' && this.#link.state === 'online')) activity.add(state);
        if (state !== 'connecting' || this.#link.state !== 'offline')
          this.#link = this.#linkOf(state, problem);
      },
    });
    this.#link = this.#linkOf('connecting', null);
    this.#session.start();
  }

  #linkOf(state: BoxStatus['link']['state'], problem: string | null): BoxStatus['link'] {
    const since = this.#link?.state === state ? this.#link.since : this.#parts.clock.stamp();
    return { state, since, problem, fleetUrl: this.fleetUrl, refusedMessages: 0 };
  }
}
