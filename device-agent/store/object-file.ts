import { constants } from 'node:fs';
import type { FileHandle } from 'node:fs/promises';
import { lstat, open, readdir, rm, rmdir } from 'node:fs/promises';
import path from 'node:path';
import { errnoOf, PLAIN_FILE } from '#agent/durable/durable-file.ts';
import { HearthError } from '#protocol/errors.ts';
import { diskTurns } from './disk-turns.ts';

/**
 * Objects above this lie on the disk in parts of this size, on every file system: vfat takes no file of 4 GiB, and
 * one rule lets a disk's content be copied to another. A multiple of every chunk size, so that none is cut.
 */
export const PART_BYTES = 2 * 1024 ** 3;

export const PART_NAME = /^\d{4}$/;
/** The folder an object's parts lie in. */
export const PARTS = /^[0-9a-f]{64}\.parts$/;

export function partName(index: number): string {
  return String(index).padStart(4, '0');
}

/** Where in which file a byte of an object lies. */
export interface Place {
  fd: number;
  position: number;
  /** Bytes from there to the end of this file, or infinite in the last. */
  lengthBytes: number;
}

/** An open object: one file, or several that follow one another. */
export class ObjectFile {
  readonly #handles: FileHandle[];
  readonly #partBytes: number;

  /** @param partBytes length of every file but the last */
  constructor(handles: FileHandle[], partBytes: number) {
    this.#handles = handles;
    this.#partBytes = handles.length > 1 ? partBytes : Number.POSITIVE_INFINITY;
  }

  /** For those who read by the bare call: nothing is waited for. */
  locate(position: number): Place {
    const { handle, at } = this.#at(position);
    return { fd: handle.fd, position: at, lengthBytes: this.#partBytes - at };
  }

  /** As FileHandle.read; ends at the end of a part. */
  async read(
    buffer: Buffer,
    offset: number,
    length: number,
    position: number,
  ): Promise<{ bytesRead: number; buffer: Buffer }> {
    const { handle, at } = this.#at(position);
    return diskTurns().run(() => handle.read(buffer, offset, Math.min(length, this.#partBytes - at), at));
  }

  /** As FileHandle.write; ends at the end of a part. */
  async write(
    buffer: Buffer,
    offset: number,
    length: number,
    position: number,
  ): Promise<{ bytesWritten: number }> {
    const { handle, at } = this.#at(position);
    return diskTurns().run(() => handle.write(buffer, offset, Math.min(length, this.#partBytes - at), at));
  }

  /** Cuts off what is too much and waits until all is on the disk. */
  async seal(sizeBytes: number): Promise<void> {
    let left = sizeBytes;
    for (const handle of this.#handles) {
      const length = Math.min(left, this.#partBytes);
      await diskTurns().run(() => handle.truncate(length));
      await diskTurns().run(() => handle.datasync());
      left -= length;
    }
  }

  /** Closes every file; those left open by one that fails would never be closed. */
  async close(): Promise<void> {
    const ends = await Promise.allSettled(this.#handles.map((handle) => handle.close()));
    for (const end of ends) if (end.status === 'rejected') throw end.reason;
  }

  #at(position: number): { handle: FileHandle; at: number } {
    const index = this.#partBytes === Number.POSITIVE_INFINITY ? 0 : Math.floor(position / this.#partBytes);
    const handle = this.#handles[index];
    if (!handle) throw new RangeError(`byte ${position} is beyond the object`);
    return { handle, at: index === 0 ? position : position - index * this.#partBytes };
  }
}

/** What bodies are read from: an object, or another file. */
export type OpenedFile = ObjectFile | FileHandle;

export function placeOf(file: OpenedFile, position: number): Place {
  if (file instanceof ObjectFile) return file.locate(position);
  return { fd: file.fd, position, lengthBytes: Number.POSITIVE_INFINITY };
}

/** Opens an object for reading: its file, or the folder of its parts. */
export async function openObject(file: string, folder: string, partBytes: number): Promise<ObjectFile> {
  const flags = constants.O_RDONLY | PLAIN_FILE;
  try {
    return new ObjectFile([await open(file, flags)], partBytes);
  } catch (error) {
    if (errnoOf(error) !== 'ENOENT' || !(await isFolder(folder))) throw error;
  }
  const names = (await readdir(folder)).filter((name) => PART_NAME.test(name)).sort();
  return openAll(names.length, (index) => open(path.join(folder, partName(index)), flags), partBytes);
}

/** Opens files one after another; none stays open when one cannot be opened. */
export async function openAll(
  count: number,
  openPart: (index: number) => Promise<FileHandle>,
  partBytes: number,
): Promise<ObjectFile> {
  const handles: FileHandle[] = [];
  try {
    for (let index = 0; index < Math.max(1, count); index++) handles.push(await openPart(index));
    return new ObjectFile(handles, partBytes);
  } catch (error) {
    await new ObjectFile(handles, partBytes).close().catch(() => undefined);
    throw error;
  }
}

/** What the parts in a folder hold together, bytes; null when one is missing or too short. */
export async function sizeOfParts(folder: string, partBytes: number): Promise<number | null> {
  const names = (await readdir(folder).catch(() => [])).filter((name) => PART_NAME.test(name)).sort();
  let total = 0;
  for (const [index, name] of names.entries()) {
    const found = await lstat(path.join(folder, name)).catch(() => null);
    const isLast = index === names.length - 1;
    if (name !== partName(index) || !found?.isFile()) return null;
    if (isLast ? found.size > partBytes : found.size !== partBytes) return null;
    total += found.size;
  }
  return names.length > 1 ? total : null;
}

/** Removes the parts in a folder and, unless someone else's file is among them, the folder. */
export async function removeParts(folder: string): Promise<void> {
  if (!(await isFolder(folder))) return;
  for (const name of await readdir(folder)) {
    if (PART_NAME.test(name)) await rm(path.join(folder, name), { force: true });
  }
  await rmdir(folder).catch((error) => {
    if (!['ENOTEMPTY', 'EEXIST', 'ENOENT'].includes(errnoOf(error))) throw error;
  });
}

/** A folder, not a link to one. */
export async function isFolder(name: string): Promise<boolean> {
  const found = await lstat(name).catch((error) => {
    if (errnoOf(error) === 'ENOENT') return null;
    throw error;
  });
  return found?.isDirectory() ?? false;
}

/** @throws HearthError `disk_failing` when something that is no file has the name of one of ours */
export async function assertPlain(file: string): Promise<void> {
  const found = await lstat(file).catch((error) => {
    if (errnoOf(error) === 'ENOENT') return null;
    throw error;
  });
  if (found && !found.isFile()) {
    throw new HearthError('disk_failing', `${file} is in the way and is not Hearth's: remove it`);
  }
}
