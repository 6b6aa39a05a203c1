import { access, constants, open, rm, stat, statfs } from 'node:fs/promises';
import type { Logger } from 'pino';
import { errnoOf, syncDirectory, writeFileDurably } from '#agent/durable/durable-file.ts';
import { HearthError, isHearthError, messageOf } from '#protocol/errors.ts';
import { newId } from '#protocol/ids.ts';
import type { DiskState } from '#protocol/messages.ts';
import { makeFolder } from './folders.ts';
import { DiskLayout } from './layout.ts';
import type { DiskMemory, Marker } from './marker.ts';
import { readMarker } from './marker.ts';

export interface DiskOptions {
  path: string;
  memory: DiskMemory;
  boxId: string | null;
  /** Free space left to the owner, bytes. */
  floorBytes: number;
  probeMs: number;
  stamp: () => string;
  log: Logger;
}

type Finding = { state: DiskState; problem: string | null };
export type DiskListener = (state: DiskState, before: DiskState) => void;

/** Room for counts and manifests, bytes. */
const SMALL_FILES_BYTES = 1024 * 1024;
/** A look that takes longer than this says the disk is slow, ms. */
const SLOW_MS = 5_000;

/**
 * The USB disk as the rest of the agent sees it: a folder with a state. It is looked at every few seconds, and
 * errors met elsewhere are told to it, so that each trouble has one name and ends by itself.
 */
export class Disk {
  readonly layout: DiskLayout;
  readonly #options: DiskOptions;
  readonly #listeners: DiskListener[] = [];
  #finding: Finding = { state: 'absent', problem: 'the disk has not been looked at yet' };
  #usage = { totalBytes: 0, freeBytes: 0 };
  #boxId: string | null;
  /** What a download waits for, bytes; 0 when none does. */
  #neededBytes = 0;
  /** Trouble met since the last look that a look alone would not see. */
  #trouble: 'disk_full' | 'disk_read_only' | 'disk_failing' | null = null;
  #timer: NodeJS.Timeout | null = null;
  #looking: Promise<void> | null = null;
  #laidOut = false;
  #closed = false;

  constructor(options: DiskOptions) {
    this.#options = options;
    this.#boxId = options.boxId;
    this.layout = new DiskLayout(options.path);
  }

  get state(): DiskState {
    return this.#finding.state;
  }
  get problem(): string | null {
    return this.#finding.problem;
  }
  get stamp(): () => string {
    return this.#options.stamp;
  }
  get usage(): { totalBytes: number; freeBytes: number } {
    return this.#usage;
  }
  /** True when what lies on it can be served. */
  get readable(): boolean {
    return this.state !== 'absent' && this.state !== 'foreign';
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

  /** Looks at the disk now and then every `probeMs`. */
  async start(): Promise<void> {
    await this.look();
    this.#timer = setInterval(() => void this.look(), this.#options.probeMs);
    this.#timer.unref();
  }

  async close(): Promise<void> {
    this.#closed = true;
    if (this.#timer) clearInterval(this.#timer);
    await this.#looking;
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

  /** Free bytes that Hearth may use. */
  get spareBytes(): number {
    return Math.max(0, this.#usage.freeBytes - this.#options.floorBytes);
  }

  /** Takes note of an error met on the disk and gives it its name. */
  failed(error: unknown): HearthError {
    if (error instanceof HearthError) return error;
    const errno = errnoOf(error);
    const made = (code: 'disk_full' | 'disk_read_only' | 'disk_failing', message: string) => {
      this.#trouble = code;
      void this.look();
      return new HearthError(code, message, { cause: error });
    };
    if (errno === 'ENOSPC' || errno === 'EDQUOT') return made('disk_full', 'the disk is full');
    if (errno === 'EROFS' || errno === 'EACCES' || errno === 'EPERM') {
      return made('disk_read_only', 'the disk cannot be written');
    }
    if (['ENOENT', 'ENOTDIR', 'ENODEV', 'ENXIO', 'ESTALE'].includes(errno)) {
      void this.look();
      return new HearthError('disk_absent', 'a file is missing from the disk', { cause: error });
    }
    if (['EISDIR', 'ELOOP', 'EEXIST', 'ENOTEMPTY'].includes(errno)) {
      const { path, dest } = error as NodeJS.ErrnoException & { dest?: string };
      return new HearthError('disk_failing', `${dest ?? path ?? 'something'} is in the way: remove it`, {
        cause: error,
      });
    }
    if (/^E[A-Z0-9]+$/.test(errno)) return made('disk_failing', `the disk failed (${errno})`);
    return new HearthError('internal', messageOf(error), { cause: error });
  }

  /** The box has been paired: the marker says so from now on. */
  async belongTo(boxId: string): Promise<void> {
    this.#boxId = boxId;
    await this.look();
  }

  /** Looks at the disk; calls while a look is under way share it. */
  look(): Promise<void> {
    if (this.#looking || this.#closed) return this.#looking ?? Promise.resolve();
    const slow = setTimeout(
      () => this.#enter({ state: 'slow', problem: 'the disk takes long to answer' }),
      SLOW_MS,
    );
    slow.unref();
    this.#looking = this.#find()
      .catch((error): Finding => this.#findingOf(error))
      .then((finding) => this.#enter(finding))
      .finally(() => {
        clearTimeout(slow);
        this.#looking = null;
      });
    return this.#looking;
  }

  #enter(finding: Finding): void {
    const before = this.#finding.state;
    this.#finding = finding;
    if (!this.readable) this.#laidOut = false;
    if (before === finding.state) return;
    const level = finding.state === 'ok' ? 'info' : 'warn';
    this.#options.log[level](
      { disk: this.layout.root, state: finding.state },
      finding.problem ?? 'the disk is in order',
    );
    for (const listener of this.#listeners) listener(finding.state, before);
  }

  #findingOf(error: unknown): Finding {
    if (isHearthError(error)) return { state: 'failing', problem: error.message };
    switch (errnoOf(error)) {
      case 'ENOSPC':
      case 'EDQUOT':
        return { state: 'full', problem: 'the disk is full: make room on it' };
      case 'EROFS':
      case 'EACCES':
      case 'EPERM':
        return {
          state: 'read_only',
          problem: 'the disk cannot be written: check its write lock and its file system',
        };
      case 'ENOENT':
      case 'ENOTDIR':
      case 'ENODEV':
      case 'ENXIO':
        return { state: 'absent', problem: `no disk at ${this.layout.root}: plug it in` };
      default:
        return { state: 'failing', problem: `the disk fails (${errnoOf(error) || String(error)})` };
    }
  }

  async #find(): Promise<Finding> {
    const { layout } = this;
    const { memory } = this.#options;
    const found = await stat(layout.root);
    if (!found.isDirectory()) return { state: 'absent', problem: `${layout.root} is not a folder` };
    const remembered = await memory.read();
    const marker = await readMarker(layout.marker);
    const stranger = this.#strangerness(marker, remembered);
    if (stranger) return stranger;
    await this.#measure();
    const owned = marker === 'damaged' ? null : marker;
    const mustMark = owned === null || (this.#boxId !== null && owned.boxId !== this.#boxId);
    try {
      await access(layout.root, constants.W_OK);
      if (mustMark) await this.#mark(owned, remembered);
      else if (remembered !== owned.diskId) await memory.write(owned.diskId);
      if (!this.#laidOut) await this.#layOut();
    } catch (error) {
      return this.#findingOf(error);
    }
    return this.#roomAndHealth();
  }

  /** Whether this folder is not to be touched: the reason, or null when it is ours or free to take. */
  #strangerness(marker: Marker | 'damaged' | null, remembered: string | null): Finding | null {
    if (marker === null) {
      // Without its marker the folder may be the bare mount point, which is the box's own flash.
      if (remembered === null) return null;
      return { state: 'absent', problem: `the disk this box uses is not at ${this.layout.root}: plug it in` };
    }
    if (marker === 'damaged') {
      return {
        state: 'foreign',
        problem: `${this.layout.marker} is damaged: remove it and what is in hearth/ to start afresh`,
      };
    }
    const ours =
      marker.diskId === remembered ||
      (marker.boxId !== null && marker.boxId === this.#boxId) ||
      (marker.boxId === null && remembered === null);
    return ours ? null : { state: 'foreign', problem: 'the disk belongs to another Hearth box' };
  }

  /** The disk first, then our memory of it: killed in between, the next look finds a free disk marked for us. */
  async #mark(owned: Marker | null, remembered: string | null): Promise<void> {
    const marker: Marker = {
      v: 1,
      diskId: owned?.diskId ?? newId('disk'),
      boxId: this.#boxId,
      createdAt: owned?.createdAt ?? this.#options.stamp(),
    };
    await writeFileDurably(this.layout.marker, `${JSON.stringify(marker)}\n`, 0o644);
    if (remembered !== marker.diskId) await this.#options.memory.write(marker.diskId);
  }

  /** Only here are folders made, right after the marker was seen: elsewhere a missing one means no disk. */
  async #layOut(): Promise<void> {
    const { layout } = this;
    for (const folder of [layout.home, layout.objects, layout.partial, layout.assets, layout.deliveries]) {
      await makeFolder(folder);
    }
    await syncDirectory(layout.home);
    this.#laidOut = true;
  }

  async #measure(): Promise<void> {
    const space = await statfs(this.layout.root);
    this.#usage = { totalBytes: space.blocks * space.bsize, freeBytes: space.bavail * space.bsize };
  }

  async #roomAndHealth(): Promise<Finding> {
    const { floorBytes } = this.#options;
    const wanted = Math.max(floorBytes, this.#neededBytes + floorBytes);
    if (this.#usage.freeBytes < wanted) {
      return {
        state: 'full',
        problem: `the disk is full: ${this.#usage.freeBytes} bytes are free, ${wanted} are needed`,
      };
    }
    if (this.#trouble !== null) {
      // A look sees no write error: ask the disk itself, and only now, since each write wears it.
      await rm(this.layout.probe, { force: true });
      const handle = await open(this.layout.probe, 'wx', 0o600);
      try {
        await handle.write(Buffer.alloc(65_536, 0x5a));
        await handle.sync();
      } finally {
        await handle.close();
        await rm(this.layout.probe, { force: true });
      }
      this.#trouble = null;
    }
    return { state: 'ok', problem: null };
  }
}
