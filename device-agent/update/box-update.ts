import path from 'node:path';
import type { Logger } from 'pino';
import { ORIGIN_DEFAULTS, OriginClient } from '#agent/fetch/origin.ts';
import type { FleetSession } from '#agent/link/fleet-session.ts';
import type { Options } from '#agent/options.ts';
import type { Household } from '#agent/settings/household.ts';
import type { Disk } from '#agent/store/disk.ts';
import type { Store } from '#agent/store/store.ts';
import type { Clock } from '#agent/time/clock.ts';
import { WallClock } from '#agent/uplink/schedule.ts';
import type { Uplink } from '#agent/uplink/uplink.ts';
import { AGENT_VERSION } from '#agent/version.ts';
import { HearthError } from '#protocol/errors.ts';
import type { BoxStatus } from '#protocol/http-box.ts';
import type { UpdateOrder } from '#protocol/release.ts';
import { architectureOf } from '#protocol/release.ts';
import { readLaunched } from './launched.ts';
import { UpdateMemory } from './memory.ts';
import { SELF_TEST_ASSET } from './self-test.ts';
import { Slots } from './slots.ts';
import { BoxTrust } from './trust.ts';
import { Updater } from './updater.ts';

export interface BoxUpdateParts {
  options: Pick<Options, 'stateDir' | 'updateRoot' | 'updateDeadlineMs' | 'diskProbeMs' | 'retryMs'>;
  store: Store;
  disk: Disk;
  uplink: Uplink;
  household: Household;
  clock: Clock;
  log: Logger;
  session: () => FleetSession | null;
  /** What this box checks delivery tokens with; null before the fleet has told. */
  identity: () => { boxId: string; deliveryKey: string } | null;
  /** The content port, from here. */
  contentUrl: () => string;
  /** Ends this process so that its launcher starts another version. */
  restart: () => void;
}

/** Updates as this box has them: none, unless the launcher started it. */
export class BoxUpdate {
  readonly #parts: BoxUpdateParts;
  readonly #updater: Updater | null;
  readonly #client: OriginClient;

  constructor(parts: BoxUpdateParts) {
    this.#parts = parts;
    const { options, store, disk, uplink, household, clock, log } = parts;
    const launched = readLaunched(process.env);
    const architecture = architectureOf(process.arch);
    this.#client = new OriginClient({ ...ORIGIN_DEFAULTS, connectionsPerHost: 1 }, uplink.down);
    if (!launched || !architecture) {
      this.#updater = null;
      return;
    }
    const memory = new UpdateMemory(options.stateDir);
    let wall = new WallClock(household.now.timeZone);
    this.#updater = new Updater({
      version: AGENT_VERSION,
      architecture,
      launched,
      memory,
      trust: new BoxTrust(memory, options.updateRoot),
      slots: new Slots(() => path.join(disk.layout.home, 'update')),
      client: this.#client,
      health: {
        diskReadable: () => disk.readable,
        diskWritable: () => disk.writable,
        accepting: () => uplink.accepting,
        linked: () => parts.session()?.online ?? false,
        selfTest: () => {
          const identity = parts.identity();
          if (!identity) return null;
          const deliveryKey = Buffer.from(identity.deliveryKey, 'base64url');
          return { store, boxId: identity.boxId, deliveryKey, contentUrl: parts.contentUrl() };
        },
      },
      roomBytes: () => disk.spareBytes,
      now: () => clock.fleetNow(),
      hour: () => {
        const now = clock.fleetNow();
        if (now === null) return null;
        if (wall.zone !== household.now.timeZone) wall = new WallClock(household.now.timeZone);
        return wall.at(now).hour;
      },
      deadlineMs: options.updateDeadlineMs,
      pollMs: options.diskProbeMs,
      retryMs: options.retryMs,
      log: log.child({ part: 'update' }),
      onReport: () => this.tell(),
      restart: parts.restart,
    });
  }

  /** After everything that a version on trial must show. */
  async start(): Promise<void> {
    await this.#parts.store.unwant(SELF_TEST_ASSET, 'deleted').catch(() => undefined);
    await this.#updater?.open();
  }

  /** @throws HearthError `update_no_trust` where it cannot be updated */
  order(order: UpdateOrder | null): void {
    if (!this.#updater) {
      throw new HearthError(
        'update_no_trust',
        'this agent was not started by its launcher, and takes no updates',
      );
    }
    this.#updater.order(order);
  }

  /** Tells the fleet how things stand. */
  tell(): void {
    if (this.#updater) this.#parts.session()?.sendUpdate(this.#updater.report());
  }

  /** For the household. */
  status(): BoxStatus['update'] {
    const report = this.#updater?.report();
    // Without a root of trust nothing comes but packages.
    if (!report || report.rootVersion === null) return null;
    return { runs: report.runs, last: report.update };
  }

  async close(): Promise<void> {
    await this.#updater?.close();
    this.#client.close();
  }
}
