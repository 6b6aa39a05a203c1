import { access, constants, open, rm, stat, statfs } from 'node:fs/promises';
import type { Logger } from 'pino';
import { syncDirectory } from '#agent/durable/durable-file.ts';
import { HearthError } from '#protocol/errors.ts';
import type { DiskState } from '#protocol/messages.ts';
import type { Finding, Trouble } from './disk-finding.ts';
import {
  absent,
  findingOf,
  fullness,
  IN_ORDER,
  isReadable,
  MANY_ERRORS,
  NOT_ANSWERING,
  nameError,
  slow,
  strangeness,
} from './disk-finding.ts';
import { DiskHealth } from './disk-health.ts';
import type { IoSample } from './disk-latency.ts';
import { DiskLatency, readIoSample, readIoSampleNow } from './disk-latency.ts';
import type { DiskPlace, DiskReason, DiskSpot } from './disk-place.ts';
import type { DiskBounds, DiskUsage } from './disk-room.ts';
import { capacityBytes, roomBytes } from './disk-room.ts';
import { makeFolder } from './folders.ts';
import { DiskLayout } from './layout.ts';
import type { DiskMemory, Self } from './marker.ts';
import { Marking } from './marking.ts';
import { pinned } from './pinned.ts';
import { sweepTemporary } from './sweep.ts';

export interface DiskOptions {
  place: DiskPlace;
  memory: DiskMemory;
  boxId: string | null;
  /** Asked at each use: the household may change its mind. */
  bounds: () => DiskBounds;
  probeMs: number;
  stamp: () => string;
  log: Logger;
  /** A look that takes longer says that the disk is slow, ms. */
  slowMs?: number;
  /** A look that takes longer is given up, and the disk with it until it answers, ms. */
  hungMs?: number;
  /** First wait before a disk with many I/O errors is tried again, ms. */
  quarantineMs?: number;
  now?: () => number;
  /** The kernel's figures on a device. */
  sample?: (device: string, nowMs: number) => Promise<IoSample | null>;
}

/** What it returns has let go of the disk when it resolves. */
export type DiskListener = (state: DiskState, before: DiskState) => void | Promise<void>;

/** Room for counts and manifests, bytes. */
const SMALL_FILES_BYTES = 1024 * 1024;
const SLOW_MS = 2_000;
const HUNG_MS = 10_000;
/** So many times a look is waited for again, while the device finishes other requests. */
const MOST_WAITS = 5;

/**
 * The USB disk as the rest of the agent sees it: a folder with a state. It is looked at every few seconds, and
 * errors met elsewhere are told to it, so that each trouble has one name and ends by itself.
 */
export class Disk {
  readonly layout = new DiskLayout();
  readonly #options: DiskOptions;
  readonly #listeners: DiskListener[] = [];
  readonly #health: DiskHealth;
  readonly #latency = new DiskLatency();
  readonly #marking: Marking;
  readonly #now: () => number;
  #finding: Finding = absent('not_looked_at', 'the disk has not been looked at yet');
  #usage: DiskUsage = { totalBytes: 0, freeBytes: 0 };
  #used = () => 0;
  #boxId: string | null;
  #id: string | null = null;
  /** What a download waits for, bytes; 0 when none does. */
  #neededBytes = 0;
  /** Trouble met since the last look that a look alone would not see. */
  #trouble: Trouble | null = null;
  #timer: NodeJS.Timeout | null = null;
  /** The look under way; it may hang in the kernel for as long as the disk does. */
  #work: Promise<void> | null = null;
  /** Ends with the look under way, or when that is given up. */
  #bounded: Promise<void> | null = null;
  /** The look under way is to be followed by another. */
  #again = false;
  /** While set, nothing is done with the disk. */
  #held: Finding | null = null;
  #lettingGo: Promise<void> | null = null;
  #spot: DiskSpot | null = null;
  #laidOut = false;
  #epoch = 0;
  #closed = false;

  constructor(options: DiskOptions) {
    this.#options = options;
    this.#boxId = options.boxId;
    this.#marking = new Marking(options.memory, options.stamp);
    this.#now = options.now ?? (() => performance.now());
    this.#health = new DiskHealth(options.quarantineMs);
  }

  get state(): DiskState {
    return this.#finding.state;
  }
  get reason(): DiskReason | null {
    return this.#finding.reason;
  }
  get problem(): string | null {
    return this.#finding.problem;
  }
  /** Of the marker on it; null before one was seen. */
  get id(): string | null {
    return this.#id;
  }
  /** Another one each time the disk has gone: what was opened before is none of this disk any more. */
  get epoch(): number {
    return this.#epoch;
  }
  get stamp(): () => string {
    return this.#options.stamp;
  }
  get usage(): DiskUsage {
    return this.#usage;
  }
  /** True when what lies on it can be served. */
  get readable(): boolean {
    return isReadable(this.#finding);
  }
  /** True when new bytes may be written; a full disk still takes deletions, and small files at its own risk. */
  get writable(): boolean {
    return this.state === 'ok' || this.state === 'slow';
  }
  /** True when small files (counts, manifests) can be written: a disk full up to the floor still takes them. */
  get takesSmallFiles(): boolean {
    return this.writable || (this.state === 'full' && this.#usage.freeBytes > SMALL_FILES_BYTES);
  }

  onChange(listener: DiskListener): void {
    this.#listeners.push(listener);
  }

  /** Looks at the disk now and then every `probeMs`. Takes no longer than a look may. */
  async start(): Promise<void> {
    this.#timer = setInterval(() => void this.look(), this.#options.probeMs);
    this.#timer.unref();
    await this.look();
  }

  /** Waits for the look under way, unless the disk hangs. */
  async close(): Promise<void> {
    this.#closed = true;
    if (this.#timer) clearInterval(this.#timer);
    await this.#bounded;
  }

  /** @throws HearthError with the code of what is wrong, unless the disk can be written */
  assertWritable(): void {
    if (this.writable) return;
    const code = `disk_${this.state as Exclude<DiskState, 'ok' | 'slow'>}` as const;
    throw new HearthError(code, this.problem ?? `the disk is ${this.state}`);
  }

  /**
   * Says that a download waits for this much room. While it is not there the disk's state is `full`.
   * @param bytes 0 when nothing waits any more
   */
  waitFor(bytes: number): void {
    if (this.#neededBytes === bytes) return;
    this.#neededBytes = bytes;
    void this.look();
  }

  /** Who knows what Hearth's files take, bytes: the quota is kept by it. */
  countBy(used: () => number): void {
    this.#used = used;
  }
  /** Bytes that Hearth may still write: the one number for downloads, eviction and the fleet. */
  get spareBytes(): number {
    return this.roomBytes(this.#used());
  }
  roomBytes(usedBytes: number): number {
    return roomBytes(this.#options.bounds(), this.#usage, usedBytes);
  }
  /** Free space that is always left to the disk's owner. */
  get floorBytes(): number {
    return this.#options.bounds().floorBytes;
  }
  /** What Hearth's files could take in all, bytes. */
  capacityBytes(usedBytes: number = this.#used()): number {
    return capacityBytes(this.#options.bounds(), this.#usage, usedBytes);
  }

  /**
   * Takes note of an error met on the disk and gives it its name.
   * @param object whose bytes were read or written: errors on several say that it is the disk
   * @param epoch when what was used was opened: if the disk has been away since, it says nothing
   */
  failed(error: unknown, object: string | null = null, epoch = this.#epoch): HearthError {
    if (error instanceof HearthError) return error;
    if (epoch !== this.#epoch) {
      return new HearthError('disk_absent', 'the disk was pulled meanwhile', { cause: error });
    }
    const named = nameError(error);
    if (named.trouble) this.#trouble = named.trouble;
    if (named.medium && object !== null) this.#health.note(object, this.#now());
    if (named.look) void this.look();
    return named.error;
  }

  /** The box has been paired: the marker says so from now on. */
  async belongTo(boxId: string): Promise<void> {
    this.#boxId = boxId;
    await this.look();
  }

  /**
   * Leaves the disk alone from now on: nothing is begun on it, and what was begun comes to its end.
   * @returns a promise that resolves when everyone has let go; with a disk that hangs that may be never
   */
  hold(reason: DiskReason, problem: string): Promise<void> {
    this.#held = absent(reason, problem);
    this.#enter(this.#held);
    return Promise.all([this.#bounded, this.#lettingGo]).then(() => undefined);
  }
  /** True while it is left alone on purpose. */
  get held(): boolean {
    return this.#held !== null;
  }
  /** Uses the disk again: the one that is remembered, wherever it is. */
  async resume(): Promise<void> {
    this.#held = null;
    await this.#bounded;
    await this.look();
  }

  /** Something was plugged in or pulled: a look that is under way may have begun before, and is not enough. */
  noticed(): void {
    this.#again = this.#work !== null;
    void this.look();
  }

  /** Looks at the disk; calls while a look is under way share it. Resolves within the bound for a look. */
  look(): Promise<void> {
    if (this.#bounded) return this.#bounded;
    // One that was given up still has a thread: no second one is spent on the same disk.
    if (this.#closed || this.#work) return Promise.resolve();
    const bounded = new Promise<void>((resolve) => {
      const late = setTimeout(() => {
        if (this.state === 'ok') this.#enter(slow('slow_answers', 'the disk takes long to answer'));
      }, this.#options.slowMs ?? SLOW_MS);
      const over = () => {
        this.#bounded = null;
        resolve();
      };
      const hungMs = this.#options.hungMs ?? HUNG_MS;
      let patience = MOST_WAITS;
      const giveUp = () => {
        // Behind a slow stick's other work a look waits long: it is given up when nothing at all comes to an end.
        if (patience-- > 0 && this.#isMoving()) {
          hung = setTimeout(giveUp, hungMs);
          return;
        }
        this.#enter(this.#held ?? NOT_ANSWERING);
        over();
      };
      let hung = setTimeout(giveUp, hungMs);
      late.unref();
      this.#work = this.#find()
        .catch((error): Finding => findingOf(error, this.layout.root))
        .then((finding) => this.#enter(this.#held ?? finding))
        .finally(() => {
          clearTimeout(late);
          clearTimeout(hung);
          this.#work = null;
          over();
          if (!this.#again) return;
          this.#again = false;
          void this.look();
        });
    });
    this.#bounded = this.#work ? bounded : null;
    return bounded;
  }

  /** Whether the kernel has seen the device finish requests while a look waits for it. */
  #isMoving(): boolean {
    const device = this.#spot?.device ?? null;
    if (device === null) return false;
    const now = readIoSampleNow(device, this.#now());
    const hasMoved = this.#latency.hasMoved(now);
    if (now) this.#latency.add(device, now);
    return hasMoved;
  }

  #enter(finding: Finding): void {
    const before = this.#finding;
    this.#finding = finding;
    if (!this.readable) {
      this.#laidOut = false;
      this.#marking.forget();
      if (isReadable(before)) this.#epoch++;
    }
    if (before.state === finding.state && isReadable(before) === this.readable) return;
    const level = finding.state === 'ok' ? 'info' : 'warn';
    this.#options.log[level](
      { disk: this.layout.root, state: finding.state, reason: finding.reason },
      finding.problem ?? 'the disk is in order',
    );
    const told = this.#listeners.map((listener) => listener(finding.state, before.state));
    if (this.readable || !isReadable(before)) return;
    // Nobody may use other folders while work on these is still coming to its end.
    const lettingGo = Promise.allSettled(told).then(() => {
      if (this.#lettingGo !== lettingGo) return;
      this.#lettingGo = null;
      void (this.#bounded ?? Promise.resolve()).then(() => this.look());
    });
    this.#lettingGo = lettingGo;
  }

  async #find(): Promise<Finding> {
    if (this.#held) return this.#held;
    const { memory, place } = this.#options;
    const [remembered, agentId] = [await memory.read(), await memory.agentId()];
    const self = { remembered, agentId, boxId: this.#boxId };
    const spot = await place.find(self);
    if ('problem' in spot) {
      this.#spot = null;
      return absent(spot.reason, spot.problem);
    }
    const moved = this.#spot?.root !== spot.root || this.#spot.mountId !== spot.mountId;
    if (moved || this.#lettingGo) {
      // Files open on what was there before must not be taken for files of what is there now.
      if (this.readable || this.#lettingGo) {
        this.#spot = null;
        return absent('letting_go', 'the disk was changed: what was open on it is being closed');
      }
      this.#health.reset();
      this.#latency.reset();
      this.#spot = spot;
      this.layout.moveTo(spot.root);
    }
    if (this.#health.quarantined && !this.#health.mayProbe(this.#now())) return MANY_ERRORS;
    try {
      const finding = await this.#examine(spot, self);
      if (!this.#health.quarantined) return finding;
      if (finding.state !== 'failing') this.#health.recovered();
      else this.#health.stillBad(this.#now());
      return this.#health.quarantined ? MANY_ERRORS : finding;
    } catch (error) {
      if (!this.#health.quarantined) throw error;
      this.#health.stillBad(this.#now());
      return MANY_ERRORS;
    }
  }

  async #examine(spot: DiskSpot, self: Self): Promise<Finding> {
    const { layout } = this;
    const found = await stat(layout.root);
    if (!found.isDirectory()) return absent('not_plugged', `${layout.root} is not a folder`);
    const marks = await this.#marking.read(layout);
    const stranger = strangeness(marks, self, spot);
    if (stranger) return stranger;
    const known = marks.marker === 'damaged' ? null : marks.marker;
    if (known) this.#id = known.diskId;
    await this.#measure(spot);
    try {
      await access(layout.root, constants.W_OK);
      const marker = await this.#marking.mark(spot, known, self);
      this.#id = marker.diskId;
      if (!this.#laidOut) await pinned(layout.root, spot.device, (root) => this.#layOut(root));
      await this.#marking.copy(spot, marker);
    } catch (error) {
      return findingOf(error, layout.root);
    }
    return this.#roomAndHealth();
  }

  /** Only here are folders made, right after the marker was seen: elsewhere a missing one means no disk. */
  async #layOut(root: string): Promise<void> {
    const layout = new DiskLayout(root);
    for (const folder of layout.folders) await makeFolder(folder);
    await syncDirectory(layout.home);
    await sweepTemporary(layout);
    this.#laidOut = true;
  }

  async #measure(spot: DiskSpot): Promise<void> {
    const space = await statfs(this.layout.root);
    this.#usage = { totalBytes: space.blocks * space.bsize, freeBytes: space.bavail * space.bsize };
    if (spot.device === null) return;
    const sample = await (this.#options.sample ?? readIoSample)(spot.device, this.#now());
    if (sample) this.#latency.add(spot.device, sample);
  }

  async #roomAndHealth(): Promise<Finding> {
    const used = this.#used();
    const full = fullness(this.#options.bounds(), this.#usage, used, this.#neededBytes);
    if (full) return full;
    if (this.#trouble !== null || this.#health.quarantined) {
      await this.#tryWriting();
      this.#trouble = null;
    }
    const { complaint } = this.#latency;
    return complaint === null ? IN_ORDER : slow('slow_io', `the disk is slow: ${complaint}`);
  }

  /** A look sees no write error: this asks the disk itself, and only after trouble, since each write wears it. */
  async #tryWriting(): Promise<void> {
    const { probe } = this.layout;
    await rm(probe, { force: true });
    const handle = await open(probe, 'wx', 0o600);
    try {
      await handle.write(Buffer.alloc(65_536, 0x5a));
      await handle.sync();
    } finally {
      await handle.close();
      await rm(probe, { force: true });
    }
  }
}
