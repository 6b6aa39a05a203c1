import { constants } from 'node:fs';
import type { FileHandle } from 'node:fs/promises';
import { lstat, open, readdir, rename, rm } from 'node:fs/promises';
import path from 'node:path';
import {
  errnoOf,
  PLAIN_FILE,
  readTextIfAny,
  syncDirectory,
  writeFileDurably,
} from '#agent/durable/durable-file.ts';
import { HearthError } from '#protocol/errors.ts';
import { diskTurns } from './disk-turns.ts';
import { makeFolder } from './folders.ts';
import type { DiskLayout } from './layout.ts';
import {
  assertPlain,
  isFolder,
  ObjectFile,
  openAll,
  openObject,
  PART_BYTES,
  PARTS,
  partName,
  removeParts,
  sizeOfParts,
} from './object-file.ts';
import { Settling } from './settling.ts';

const SHA256 = /^[0-9a-f]{64}$/;

/** Objects that are being filled or repaired. */
export interface Workshop {
  partial: Set<string>;
  journals: Set<string>;
}

/** Where the file of a complete object is, or the folder of its parts. */
export interface ObjectPlace {
  kind: 'object';
  file: string;
  folder: string;
  /** Length of every part but the last, bytes. */
  partBytes: number;
}

export interface ObjectFilesOptions {
  /** Objects above this lie in parts of this size, bytes; a multiple of the largest chunk. */
  partBytes?: number;
  /** How long after its object's completion a journal stays, ms. */
  settleMs?: number;
}

/**
 * The files of the store: complete objects appear under their name only when every byte is on the disk; until
 * then they are a partial file and a journal, one line for each chunk that was verified. Large ones are folders
 * of parts. A journal stays for some seconds after its object is complete: found again after a power cut, it says
 * that a disk which lies about what it has written may not have these bytes, and they are verified first.
 */
export class ObjectFiles {
  readonly #layout: DiskLayout;
  readonly #partBytes: number;
  readonly #settling: Settling;

  constructor(layout: DiskLayout, options: ObjectFilesOptions = {}) {
    this.#layout = layout;
    this.#partBytes = options.partBytes ?? PART_BYTES;
    this.#settling = new Settling((sha256) => rm(layout.journal(sha256), { force: true }), options.settleMs);
  }

  /** What the workshop holds: few, unlike complete objects. */
  async workshop(): Promise<Workshop> {
    const found: Workshop = { partial: new Set(), journals: new Set() };
    for (const name of await namesIn(this.#layout.partial)) {
      const sha256 = name.slice(0, 64);
      if (SHA256.test(name) || PARTS.test(name)) found.partial.add(sha256);
      else if (name.endsWith('.journal') && SHA256.test(sha256)) found.journals.add(sha256);
    }
    return found;
  }

  /** The SHA-256 of everything that has the name of a complete object, unseen: a folder of them at a time. */
  async *names(): AsyncGenerator<string[]> {
    for (const directory of await namesIn(this.#layout.objects)) {
      if (!/^[0-9a-f]{2}$/.test(directory)) continue;
      const names = await namesIn(path.join(this.#layout.objects, directory));
      yield names
        .filter((name) => name.startsWith(directory) && (SHA256.test(name) || PARTS.test(name)))
        .map((name) => name.slice(0, 64));
    }
  }

  /** Bytes of a complete object's files; -1 when parts of it are missing, null when there is none. */
  async sizeOf(sha256: string): Promise<number | null> {
    // Links, folders and the like are not ours; a file that cannot be looked at is as good as gone.
    const entry = await lstat(this.#layout.object(sha256)).catch(() => null);
    if (entry?.isFile()) return entry.size;
    const parts = this.#layout.objectParts(sha256);
    if (!(await isFolder(parts).catch(() => false))) return null;
    return (await sizeOfParts(parts, this.#partBytes)) ?? -1;
  }

  /** What the workshop holds of one object. */
  async begun(sha256: string): Promise<{ partial: boolean; journal: boolean }> {
    const isThere = async (name: string) => (await lstat(name).catch(() => null)) !== null;
    const partial =
      (await isThere(this.#layout.partialObject(sha256))) ||
      (await isThere(this.#layout.partialParts(sha256)));
    return { partial, journal: await isThere(this.#layout.journal(sha256)) };
  }

  /** What `openObject` is to be given for a complete object. */
  locate(sha256: string): ObjectPlace {
    const file = this.#layout.object(sha256);
    return { kind: 'object', file, folder: this.#layout.objectParts(sha256), partBytes: this.#partBytes };
  }

  async openComplete(sha256: string): Promise<ObjectFile> {
    return openObject(this.#layout.object(sha256), this.#layout.objectParts(sha256), this.#partBytes);
  }

  /** Removes every file of an object. */
  async remove(sha256: string): Promise<void> {
    await this.#settling.forget(sha256);
    await rm(this.#layout.object(sha256), { force: true });
    await removeParts(this.#layout.objectParts(sha256));
    await rm(this.#layout.partialObject(sha256), { force: true });
    await removeParts(this.#layout.partialParts(sha256));
    await rm(this.#layout.journal(sha256), { force: true });
  }

  /**
   * Takes a complete object out of service, keeping the chunks that are good. The journal comes first: killed
   * before the rename, the next start finds an object with a journal, and checks it before it serves it.
   */
  async demote(sha256: string, good: Iterable<number>): Promise<void> {
    await this.#settling.forget(sha256);
    const lines = Array.from(good, (index) => `${index}\n`).join('');
    await writeFileDurably(this.#layout.journal(sha256), lines);
    await this.reopen(sha256);
    await syncDirectory(this.#layout.objectDirectory(sha256));
  }

  /** Takes a complete object that has a journal beside it back into the workshop. */
  async reopen(sha256: string): Promise<void> {
    const parts = this.#layout.objectParts(sha256);
    if (await isFolder(parts)) await rename(parts, this.#layout.partialParts(sha256));
    else await rename(this.#layout.object(sha256), this.#layout.partialObject(sha256));
    await syncDirectory(this.#layout.partial);
  }

  /** The chunks a journal claims; they are to be hashed again before they are believed. */
  async claimed(sha256: string, chunks: number): Promise<number[]> {
    if (await this.#adopt(sha256)) return Array.from({ length: chunks }, (_, index) => index);
    const text = await readTextIfAny(this.#layout.journal(sha256)).catch((error) => {
      if (errnoOf(error) !== '') throw error;
      return null;
    });
    if (text === null) return [];
    const claimed = new Set<number>();
    // What follows the last newline was cut off by a crash.
    for (const line of text.slice(0, text.lastIndexOf('\n') + 1).split('\n')) {
      if (/^\d{1,4}$/.test(line) && Number(line) < chunks) claimed.add(Number(line));
    }
    return [...claimed].sort((a, b) => a - b);
  }

  /** Opens an object for writing, making it if it is not there. */
  async openPartial(sha256: string, sizeBytes: number): Promise<PartialObject> {
    await this.#settling.forget(sha256);
    const journalFile = this.#layout.journal(sha256);
    await assertPlain(journalFile);
    const flags = constants.O_CREAT | PLAIN_FILE;
    const data = await this.#openData(sha256, sizeBytes, constants.O_RDWR | flags);
    let journal: FileHandle | null = null;
    try {
      journal = await open(journalFile, constants.O_WRONLY | constants.O_APPEND | flags, 0o600);
      // A line cut off by a crash must not run into the next one.
      await journal.appendFile('\n');
      const isSplit = sizeBytes > this.#partBytes;
      const committed = () => this.#settling.add(sha256);
      return new PartialObject(this.#layout, { sha256, sizeBytes, isSplit, committed }, data, journal);
    } catch (error) {
      await data.close();
      await journal?.close();
      throw error;
    }
  }

  /** What was committed a moment ago counts as safe from now on: a stop, and no power cut. */
  async close(): Promise<void> {
    await this.#settling.close();
  }

  async #openData(sha256: string, sizeBytes: number, flags: number): Promise<ObjectFile> {
    const file = this.#layout.partialObject(sha256);
    const folder = this.#layout.partialParts(sha256);
    await assertPlain(file);
    if (sizeBytes <= this.#partBytes) {
      await removeParts(folder);
      return new ObjectFile([await open(file, flags, 0o600)], this.#partBytes);
    }
    await rm(file, { force: true });
    if (await makeFolder(folder)) await syncDirectory(this.#layout.partial);
    const openPart = async (index: number) => {
      const part = path.join(folder, partName(index));
      await assertPlain(part);
      return open(part, flags, 0o600);
    };
    return openAll(Math.ceil(sizeBytes / this.#partBytes), openPart, this.#partBytes);
  }

  /** An object that came with an adopted disk is taken over; @returns false when there is none */
  async #adopt(sha256: string): Promise<boolean> {
    const layout = this.#layout;
    for (const [from, to] of [
      [layout.adoptedObject(sha256), layout.partialObject(sha256)],
      [layout.adoptedParts(sha256), layout.partialParts(sha256)],
    ] as const) {
      try {
        await rename(from, to);
        return true;
      } catch (error) {
        // None there, or some of it was fetched meanwhile.
        if (!['ENOENT', 'ENOTEMPTY', 'EEXIST'].includes(errnoOf(error))) throw error;
      }
    }
    return false;
  }
}

/** An object being filled. Owns its open files. */
export class PartialObject {
  readonly sha256: string;
  readonly data: ObjectFile;
  readonly #layout: DiskLayout;
  readonly #about: { sizeBytes: number; isSplit: boolean; committed: () => Promise<void> };
  readonly #journal: FileHandle;
  #open = true;

  constructor(
    layout: DiskLayout,
    about: { sha256: string; sizeBytes: number; isSplit: boolean; committed: () => Promise<void> },
    data: ObjectFile,
    journal: FileHandle,
  ) {
    this.#layout = layout;
    this.sha256 = about.sha256;
    this.#about = about;
    this.data = data;
    this.#journal = journal;
  }

  async write(bytes: Buffer, position: number): Promise<void> {
    for (let done = 0; done < bytes.length; ) {
      const { bytesWritten } = await this.data.write(bytes, done, bytes.length - done, position + done);
      if (bytesWritten === 0) throw new HearthError('disk_full', 'the disk takes no more bytes');
      done += bytesWritten;
    }
  }

  /** Records that a chunk, verified and written, need not be fetched again. */
  async keep(index: number): Promise<void> {
    await diskTurns().run(() => this.#journal.appendFile(`${index}\n`));
  }

  /** Puts the object into service: the caller has verified every chunk. */
  async commit(): Promise<void> {
    const { sha256 } = this;
    const { sizeBytes, isSplit, committed } = this.#about;
    await this.data.seal(sizeBytes);
    await diskTurns().run(() => this.#journal.datasync());
    await this.close();
    if (isSplit) await syncDirectory(this.#layout.partialParts(sha256));
    const directory = this.#layout.objectDirectory(sha256);
    if (await makeFolder(directory)) await syncDirectory(this.#layout.objects);
    if (isSplit) await rename(this.#layout.partialParts(sha256), this.#layout.objectParts(sha256));
    else await rename(this.#layout.partialObject(sha256), this.#layout.object(sha256));
    await syncDirectory(directory);
    await syncDirectory(this.#layout.partial);
    await committed();
  }

  async close(): Promise<void> {
    if (!this.#open) return;
    this.#open = false;
    await Promise.all([this.data.close(), this.#journal.close()]);
  }
}

/** One folder that cannot be read must not hide what the others hold. */
async function namesIn(directory: string): Promise<string[]> {
  return readdir(directory).catch(() => []);
}
