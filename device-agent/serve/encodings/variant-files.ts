import { constants } from 'node:fs';
import type { FileHandle } from 'node:fs/promises';
import { lstat, open, readdir, rename, rm } from 'node:fs/promises';
import path from 'node:path';
import { PLAIN_FILE, syncDirectory } from '#agent/durable/durable-file.ts';
import { hashSlice } from '#agent/store/chunk-reader.ts';
import { makeFolder } from '#agent/store/folders.ts';
import type { DiskLayout } from '#agent/store/layout.ts';
import type { Coding, Variant } from './variant.ts';

const NAME = /^([0-9a-f]{64})\.(br|gzip)\.([0-9a-f]{64})$/;
const PIECE_BYTES = 64 * 1024;

/**
 * The files of variants. A name holds the object's hash, the coding and the hash of the very bytes, so that a file
 * says by itself whether it is whole: nothing else has to be kept in step with it. What is being made has another
 * name until it is on the disk.
 */
export class VariantFiles {
  readonly #layout: DiskLayout;

  constructor(layout: DiskLayout) {
    this.#layout = layout;
  }

  /** For variants alone, made when it is needed. */
  get #root(): string {
    return this.#layout.encodings;
  }

  get #making(): string {
    return path.join(this.#root, 'making');
  }

  #folder(sha256: string): string {
    return path.join(this.#root, sha256.slice(0, 2));
  }

  #file(sha256: string, variant: Pick<Variant, 'coding' | 'sha256'>): string {
    return path.join(this.#folder(sha256), `${sha256}.${variant.coding}.${variant.sha256}`);
  }

  /** What lies there. Names that are not ours are not looked at; what a crash left half made is removed. */
  async *list(): AsyncGenerator<{ sha256: string; variant: Variant }> {
    await rm(this.#making, { force: true });
    for (const folder of await namesIn(this.#root)) {
      if (!/^[0-9a-f]{2}$/.test(folder)) continue;
      for (const name of await namesIn(path.join(this.#root, folder))) {
        const [, sha256, coding, own] = NAME.exec(name) ?? [];
        if (sha256 === undefined || own === undefined || !sha256.startsWith(folder)) continue;
        const found = await lstat(path.join(this.#root, folder, name)).catch(() => null);
        if (!found?.isFile()) continue;
        yield { sha256, variant: { coding: coding as Coding, sha256: own, sizeBytes: found.size } };
      }
    }
  }

  /** Opens a file to make a variant in: one at a time. */
  async create(): Promise<FileHandle> {
    await makeFolder(this.#root);
    await rm(this.#making, { force: true });
    return open(this.#making, constants.O_RDWR | constants.O_CREAT | constants.O_EXCL | PLAIN_FILE, 0o600);
  }

  /** Gives what was made its name, for good; closes it. */
  async keep(made: FileHandle, sha256: string, variant: Variant): Promise<void> {
    await made.datasync();
    await made.close();
    const folder = this.#folder(sha256);
    if (await makeFolder(folder)) await syncDirectory(this.#root);
    await rename(this.#making, this.#file(sha256, variant));
    await syncDirectory(folder);
  }

  /** Throws away what was being made. */
  async discard(made: FileHandle): Promise<void> {
    await made.close().catch(() => undefined);
    await rm(this.#making, { force: true });
  }

  /** Opens a variant and reads all of it. @throws Error unless every byte is what was made */
  async openVerified(sha256: string, variant: Variant): Promise<FileHandle> {
    const handle = await open(this.#file(sha256, variant), constants.O_RDONLY | PLAIN_FILE);
    try {
      const piece = Buffer.allocUnsafe(Math.min(PIECE_BYTES, variant.sizeBytes));
      const found = await hashSlice(handle, 0, variant.sizeBytes, piece);
      if (found?.toString('hex') !== variant.sha256) throw new Error('a stored variant is damaged');
      return handle;
    } catch (error) {
      await handle.close();
      throw error;
    }
  }

  async remove(sha256: string, variant: Variant): Promise<void> {
    await rm(this.#file(sha256, variant), { force: true });
  }
}

async function namesIn(directory: string): Promise<string[]> {
  return readdir(directory).catch(() => []);
}
