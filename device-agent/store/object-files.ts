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
import { makeFolder } from './folders.ts';
import type { DiskLayout } from './layout.ts';

const SHA256 = /^[0-9a-f]{64}$/;

/** What a walk over the disk finds. */
export interface FoundObjects {
  complete: Map<string, { sizeBytes: number }>;
  partial: Set<string>;
  journals: Set<string>;
}

/**
 * The files of the store: complete objects appear under their name only when every byte is on the disk; until
 * then they are a partial file and a journal, one line for each chunk that was verified.
 */
export class ObjectFiles {
  readonly #layout: DiskLayout;

  constructor(layout: DiskLayout) {
    this.#layout = layout;
  }

  /** Every object file of ours; other names are not ours and are not looked at. */
  async list(): Promise<FoundObjects> {
    const found: FoundObjects = { complete: new Map(), partial: new Set(), journals: new Set() };
    for (const directory of await namesIn(this.#layout.objects)) {
      if (!/^[0-9a-f]{2}$/.test(directory)) continue;
      for (const name of await namesIn(path.join(this.#layout.objects, directory))) {
        if (!SHA256.test(name) || !name.startsWith(directory)) continue;
        // Links, folders and the like are not ours; a file that cannot be looked at is as good as gone.
        const entry = await lstat(this.#layout.object(name)).catch(() => null);
        if (entry?.isFile()) found.complete.set(name, { sizeBytes: entry.size });
      }
    }
    for (const name of await namesIn(this.#layout.partial)) {
      if (SHA256.test(name)) found.partial.add(name);
      else if (name.endsWith('.journal') && SHA256.test(name.slice(0, 64)))
        found.journals.add(name.slice(0, 64));
    }
    return found;
  }

  async openComplete(sha256: string): Promise<FileHandle> {
    return open(this.#layout.object(sha256), constants.O_RDONLY | PLAIN_FILE);
  }

  /** Removes every file of an object. */
  async remove(sha256: string): Promise<void> {
    await rm(this.#layout.object(sha256), { force: true });
    await rm(this.#layout.partialObject(sha256), { force: true });
    await rm(this.#layout.journal(sha256), { force: true });
  }

  /**
   * Takes a complete object out of service, keeping the chunks that are good. The journal comes first: killed
   * before the rename, the next start finds an object with a journal, and checks it before it serves it.
   */
  async demote(sha256: string, good: Iterable<number>): Promise<void> {
    const lines = Array.from(good, (index) => `${index}\n`).join('');
    await writeFileDurably(this.#layout.journal(sha256), lines);
    await rename(this.#layout.object(sha256), this.#layout.partialObject(sha256));
    await syncDirectory(this.#layout.objectDirectory(sha256));
    await syncDirectory(this.#layout.partial);
  }

  /** Takes a complete object that has a journal beside it back into the workshop. */
  async reopen(sha256: string): Promise<void> {
    await rename(this.#layout.object(sha256), this.#layout.partialObject(sha256));
    await syncDirectory(this.#layout.partial);
  }

  /** The chunks a journal claims; they are to be hashed again before they are believed. */
  async claimed(sha256: string, chunks: number): Promise<number[]> {
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
    const file = this.#layout.partialObject(sha256);
    const journalFile = this.#layout.journal(sha256);
    await assertPlain(file);
    await assertPlain(journalFile);
    const flags = constants.O_CREAT | PLAIN_FILE;
    const data = await open(file, constants.O_RDWR | flags, 0o600);
    try {
      const journal = await open(journalFile, constants.O_WRONLY | constants.O_APPEND | flags, 0o600);
      // A line cut off by a crash must not run into the next one.
      await journal.appendFile('\n');
      return new PartialObject(this.#layout, sha256, sizeBytes, data, journal);
    } catch (error) {
      await data.close();
      throw error;
    }
  }
}

/** An object being filled. Owns two open files. */
export class PartialObject {
  readonly sha256: string;
  readonly data: FileHandle;
  readonly #layout: DiskLayout;
  readonly #sizeBytes: number;
  readonly #journal: FileHandle;
  #open = true;

  constructor(layout: DiskLayout, sha256: string, sizeBytes: number, data: FileHandle, journal: FileHandle) {
    this.#layout = layout;
    this.sha256 = sha256;
    this.#sizeBytes = sizeBytes;
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
    await this.#journal.appendFile(`${index}\n`);
  }

  /** Puts the object into service: the caller has verified every chunk. */
  async commit(): Promise<void> {
    await this.data.truncate(this.#sizeBytes);
    await this.data.datasync();
    await this.close();
    const directory = this.#layout.objectDirectory(this.sha256);
    if (await makeFolder(directory)) await syncDirectory(this.#layout.objects);
    await rename(this.#layout.partialObject(this.sha256), this.#layout.object(this.sha256));
    await syncDirectory(directory);
    await syncDirectory(this.#layout.partial);
    await rm(this.#layout.journal(this.sha256), { force: true });
  }

  async close(): Promise<void> {
    if (!this.#open) return;
    this.#open = false;
    await Promise.all([this.data.close(), this.#journal.close()]);
  }
}

/** @throws HearthError `disk_failing` when something that is no file has the name of one of ours */
async function assertPlain(file: string): Promise<void> {
  const found = await lstat(file).catch((error) => {
    if (errnoOf(error) === 'ENOENT') return null;
    throw error;
  });
  if (found && !found.isFile()) {
    throw new HearthError('disk_failing', `${file} is in the way and is not Hearth's: remove it`);
  }
}

/** One folder that cannot be read must not hide what the others hold. */
async function namesIn(directory: string): Promise<string[]> {
  return readdir(directory).catch(() => []);
}
