import { constants } from 'node:fs';
import type { FileHandle } from 'node:fs/promises';
import { open, rename, rm } from 'node:fs/promises';
import path from 'node:path';

/**
 * Replaces a file so that after a crash or power cut it holds either the old bytes or the new, whole.
 * Calls for one file must not overlap: they share a temporary name, so that a crash leaves at most one behind.
 * @param mode of the new file; secrets are 0600
 */
export async function writeFileDurably(file: string, data: string | Buffer, mode = 0o600): Promise<void> {
  const temporary = `${file}.tmp`;
  // A leftover may have another mode; only a new file gets ours.
  await rm(temporary, { force: true });
  const handle = await open(temporary, 'wx', mode);
  try {
    await handle.writeFile(data);
    await handle.sync();
  } catch (error) {
    // On a disk that is full it would keep room that nobody counts.
    await discard(handle, temporary);
    throw error;
  }
  await handle.close();
  await rename(temporary, file);
  await syncDirectory(path.dirname(file));
}

/** Closes and removes a file that could not be written. */
export async function discard(handle: FileHandle, file: string): Promise<void> {
  await handle.close().catch(() => undefined);
  await rm(file, { force: true }).catch(() => undefined);
}

/** Makes the names in a directory (new, renamed, removed) survive a power cut. */
export async function syncDirectory(directory: string): Promise<void> {
  let handle: FileHandle | undefined;
  try {
    handle = await open(directory, constants.O_RDONLY);
    await handle.sync();
  } catch (error) {
    // Some file systems (exFAT, NTFS by FUSE) cannot sync a directory; there the rename is all there is.
    if (!['EINVAL', 'ENOTSUP', 'EPERM', 'EBADF', 'EISDIR'].includes(errnoOf(error))) throw error;
  } finally {
    await handle?.close();
  }
}

/** Longest file read whole unless said otherwise, bytes. */
const MOST_TEXT_BYTES = 1024 * 1024;
/** Do not follow a link, do not wait for the other end of a pipe. */
export const PLAIN_FILE = (constants.O_NOFOLLOW ?? 0) | (constants.O_NONBLOCK ?? 0);

/**
 * Reads a text file. A disk comes from outside, and anything may lie on it under any name: links are not
 * followed, pipes and devices are not waited for, and a file too long to be one of ours is not read.
 * @throws Error without a system error code when it is no plain file of at most `mostBytes`
 */
export async function readText(file: string, mostBytes = MOST_TEXT_BYTES): Promise<string> {
  const wrong = (cause?: unknown) =>
    new Error(`${file} is not a plain file of at most ${mostBytes} bytes`, { cause });
  const handle = await open(file, constants.O_RDONLY | PLAIN_FILE).catch((error) => {
    throw errnoOf(error) === 'ELOOP' ? wrong(error) : error;
  });
  try {
    const found = await handle.stat();
    if (!found.isFile() || found.size > mostBytes) throw wrong();
    return await handle.readFile('utf8');
  } finally {
    await handle.close();
  }
}

/** As `readText`, or null when there is no such file. */
export async function readTextIfAny(file: string, mostBytes = MOST_TEXT_BYTES): Promise<string | null> {
  try {
    return await readText(file, mostBytes);
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return null;
    throw error;
  }
}

/** Removes a file, if it is there, for good. */
export async function removeDurably(file: string): Promise<void> {
  await rm(file, { force: true });
  await syncDirectory(path.dirname(file));
}

/** The system's error code (`ENOENT`, ...), or '' for anything else. */
export function errnoOf(error: unknown): string {
  const code = (error as { code?: unknown } | null)?.code;
  return typeof code === 'string' ? code : '';
}

/** Adds to the end of a file, making it if need be; on the disk when it resolves. A crash may leave a part of it. */
export async function appendDurably(file: string, text: string): Promise<void> {
  const flags = constants.O_WRONLY | constants.O_APPEND | constants.O_CREAT | PLAIN_FILE;
  const handle = await open(file, flags, 0o600);
  try {
    const isNew = (await handle.stat()).size === 0;
    await handle.appendFile(text);
    await handle.sync();
    if (isNew) await syncDirectory(path.dirname(file));
  } finally {
    await handle.close();
  }
}
