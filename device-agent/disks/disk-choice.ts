import type { Logger } from 'pino';
import { errnoOf } from '#agent/durable/durable-file.ts';
import type { Household } from '#agent/settings/household.ts';
import type { Disk } from '#agent/store/disk.ts';
import { nameError } from '#agent/store/disk-finding.ts';
import type { DiskPlace } from '#agent/store/disk-place.ts';
import { DiskLayout } from '#agent/store/layout.ts';
import type { DiskMemory, Self } from '#agent/store/marker.ts';
import { readMarker } from '#agent/store/marker.ts';
import { HearthError } from '#protocol/errors.ts';
import type { BoxDisk } from '#protocol/http-box.ts';
import { listDisks } from './disk-list.ts';
import type { Mount } from './mounts.ts';
import { mountOf, parseMounts } from './mounts.ts';
import { usableMounts, within } from './places.ts';
import type { Unsuitable } from './suitability.ts';
import { judge } from './suitability.ts';
import type { Found, TakenSpot } from './taking.ts';
import { inspect, take } from './taking.ts';
import { flush, mountAgain, unmount } from './unmount.ts';

/** How long what uses a disk may take to let go of it, ms. */
const LET_GO_MS = 20_000;
/** How long responses that still read from it may keep it from being unmounted, ms. */
const BUSY_MS = 5_000;
const ANSWER_MS = 5_000;

const WHY_NOT: Record<Unsuitable, string> = {
  system: 'it holds the system of this box',
  filesystem: 'its file system cannot be used: ext4, exFAT, NTFS or FAT32 can',
  read_only: 'it is read-only: check its write lock and its file system',
  not_whole: 'only a folder of the disk is mounted there',
};

const AGREE: Record<'foreign' | 'unmarked', string> = {
  foreign: 'This disk belongs to another Hearth box: adopt it to use it here, with what is on it.',
  unmarked: "This disk does not carry Hearth's mark: adopt it to use it here, with what is on it.",
};

/** The folder the options name. */
export interface FixedDisk {
  folder: string;
  place: DiskPlace;
}

/** What the household can do with disks: see them, pick one, take it away safely, have it used again. */
export class DiskChoice {
  readonly #disk: Disk;
  readonly #memory: DiskMemory;
  readonly #household: Household;
  readonly #fixed: FixedDisk | null;
  readonly #boxId: () => string | null;
  readonly #stamp: () => string;
  readonly #log: Logger;
  readonly #readTable: () => Promise<string>;
  /** What was ejected and which mounts there were then. */
  #ejected: { mount: Mount | null; unmounted: boolean; mountIds: Set<number> } | null = null;
  #checking = false;
  /** One thing at a time. */
  #turn: Promise<unknown> = Promise.resolve();

  /** @param parts.fixed the folder the options name, if they do: then there is nothing to choose */
  constructor(parts: {
    disk: Disk;
    memory: DiskMemory;
    household: Household;
    fixed: FixedDisk | null;
    boxId: () => string | null;
    stamp: () => string;
    log: Logger;
    readTable: () => Promise<string>;
  }) {
    this.#disk = parts.disk;
    this.#memory = parts.memory;
    this.#household = parts.household;
    this.#fixed = parts.fixed;
    this.#boxId = parts.boxId;
    this.#stamp = parts.stamp;
    this.#log = parts.log;
    this.#readTable = parts.readTable;
  }

  /** The folder the options name; null when the household chooses. */
  get fixed(): string | null {
    return this.#fixed?.folder ?? null;
  }

  /** Every disk that is mounted, those that cannot be used with the reason. */
  async list(): Promise<BoxDisk[]> {
    const inUse = this.#disk.readable ? this.#disk.layout.root : null;
    const mounts = parseMounts(await this.#readTable());
    return listDisks(mounts, { ...(await this.#self()), inUse });
  }

  /**
   * Uses the disk mounted there from now on; the one in use is let go of first, and stays as it is.
   * @throws HearthError `conflict` when it cannot be used, `disk_foreign` when it is another box's, `disk_unmarked`
   * when nothing on it says whose it is, and `adopt` is false
   */
  choose(mountPoint: string, options: { adopt: boolean }): Promise<void> {
    return this.#alone(async () => {
      const self = await this.#self();
      const fixed = this.#fixed;
      const spot = fixed ? await this.#fixedAt(fixed, mountPoint, self) : await this.#mountedAt(mountPoint);
      const found = await this.#inspect(spot.root, self);
      // Where it is not chosen among others nobody has said yet that it is this one.
      const word = found.word ?? (fixed && found.known === null ? 'unmarked' : null);
      if (word !== null && !options.adopt) {
        throw new HearthError(`disk_${word}`, AGREE[word]);
      }
      const letGo = this.#disk.hold('letting_go', 'another disk is being chosen').then(() => true);
      try {
        if (!(await within(letGo, LET_GO_MS, false))) {
          throw new HearthError(
            'disk_failing',
            'The disk in use does not let go: pull it, then choose again.',
          );
        }
        const { diskId } = await take(spot, found, self, this.#stamp());
        await this.#memory.write(diskId);
        if (!fixed) await this.#household.change({ disk: { mount: mountPoint } });
        this.#ejected = null;
        this.#log.info({ disk: spot.root, adopted: found.setAside }, 'the household chose this disk');
      } catch (error) {
        throw errnoOf(error) === '' ? error : nameError(error).error;
      } finally {
        await this.#disk.resume();
      }
    });
  }

  /**
   * Stops using the disk and unmounts it where that can be done; resolves when it may be pulled: even where it stays
   * mounted, nothing is written to it any more.
   * @throws HearthError `conflict` when there is none
   */
  eject(): Promise<void> {
    return this.#alone(async () => {
      const { root } = this.#disk.layout;
      if (this.#ejected) return;
      if (!this.#disk.readable) throw new HearthError('conflict', 'There is no disk in use.');
      const mounts = parseMounts(await this.#readTable());
      const mount = mountOf(root, mounts);
      const problem = 'it was ejected and can be pulled; plug it in again, or attach it, to have it used';
      const letGo = this.#disk.hold('ejected', problem).then(() => true);
      const released = await within(letGo, LET_GO_MS, false);
      let why: string | null = 'it does not let go of everything yet';
      if (released && mount) {
        await flush(root);
        why = await this.#unmountSoon(mount, root, mounts);
      }
      const left = parseMounts(await this.#readTable());
      this.#ejected = { mount, unmounted: why === null, mountIds: new Set(left.map((one) => one.id)) };
      this.#log.info({ disk: root, unmounted: why === null, reason: why }, 'the disk was ejected');
    });
  }

  /** Uses an ejected disk again, without pulling it first. */
  attach(): Promise<void> {
    return this.#alone(async () => {
      const ejected = this.#ejected;
      this.#ejected = null;
      if (ejected?.mount && ejected.unmounted) {
        const mounts = parseMounts(await this.#readTable());
        const isBack = mountOf(ejected.mount.mount, mounts)?.mount === ejected.mount.mount;
        const why = isBack ? null : await mountAgain(ejected.mount);
        if (why !== null) this.#log.warn({ reason: why }, 'the ejected disk could not be mounted again');
      }
      await this.#disk.resume();
    });
  }

  /** Called at each look at the mounts: an ejected disk that was plugged in again is used again. */
  mountsSeen(): void {
    const ejected = this.#ejected;
    if (!ejected || this.#checking) return;
    this.#checking = true;
    void this.#alone(async () => {
      const remembered = await this.#memory.read();
      for (const mount of usableMounts(parseMounts(await this.#readTable()))) {
        if (ejected.mountIds.has(mount.id) || this.#ejected !== ejected) continue;
        const marker = await within(
          readMarker(new DiskLayout(mount.mount).marker).catch(() => null),
          ANSWER_MS,
          null,
        );
        if (marker === null || marker === 'damaged' || marker.diskId !== remembered) continue;
        this.#ejected = null;
        await this.#disk.resume();
      }
    })
      .catch(() => undefined)
      .finally(() => {
        this.#checking = false;
      });
  }

  async #unmountSoon(mount: Mount, root: string, mounts: Mount[]): Promise<string | null> {
    if (mount.mount !== root || judge(mount, mounts).reason === 'system')
      return 'it is a folder of the system';
    const deadline = performance.now() + BUSY_MS;
    for (;;) {
      const why = await unmount(mount);
      if (why === null || performance.now() > deadline) return why;
      await new Promise((resolve) => setTimeout(resolve, 250));
    }
  }

  /** What is known of a disk before it is used. @throws HearthError `disk_failing` when it does not answer */
  async #inspect(root: string, self: Self): Promise<Found> {
    const found = await within(inspect(root, self), ANSWER_MS, 'mute' as const);
    if (found === 'mute') throw new HearthError('disk_failing', 'The disk does not answer.');
    return found;
  }

  async #mountedAt(mountPoint: string): Promise<TakenSpot> {
    const mounts = parseMounts(await this.#readTable());
    const mount = mountOf(mountPoint, mounts);
    if (mount?.mount !== mountPoint) {
      throw new HearthError('conflict', `No disk is mounted at ${mountPoint}: plug it in.`);
    }
    const { reason } = judge(mount, mounts);
    if (reason !== null) throw new HearthError('conflict', `This disk cannot be used: ${WHY_NOT[reason]}.`);
    return { root: mount.mount, device: mount.device };
  }

  /** There is nothing to choose; but a disk that is not taken by itself may be the right one all the same. */
  async #fixedAt({ folder, place }: FixedDisk, asked: string, self: Self): Promise<TakenSpot> {
    if (asked !== folder || this.#disk.readable) {
      throw new HearthError('conflict', `HEARTH_DISK names the disk of this box: ${folder}`);
    }
    const spot = await place.find(self);
    const why = 'problem' in spot ? spot.problem : spot.mayNotBegin;
    if ('problem' in spot || why !== null) throw new HearthError('conflict', `This cannot be used: ${why}`);
    return spot;
  }

  async #self(): Promise<Self> {
    const [remembered, agentId] = [await this.#memory.read(), await this.#memory.agentId()];
    return { remembered, agentId, boxId: this.#boxId() };
  }

  #alone<T>(work: () => Promise<T>): Promise<T> {
    const result = this.#turn.then(work);
    this.#turn = result.catch(() => undefined);
    return result;
  }
}
