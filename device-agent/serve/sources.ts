import type { OpenedFile } from '#agent/store/object-file.ts';
import { HOT_OBJECT_BYTES, HotSet } from './hot-set.ts';
import type { OpenFile } from './open-files.ts';
import { OpenFiles } from './open-files.ts';
import type { Source } from './reply.ts';

/** What bodies are read from: small objects in memory, files for the others. */
export class Sources {
  readonly #files: OpenFiles;
  readonly #hot: HotSet;

  constructor(open: (key: string) => Promise<OpenedFile>, limits: { openFiles: number; hotBytes: number }) {
    this.#files = new OpenFiles(open, limits.openFiles);
    this.#hot = new HotSet(limits.hotBytes);
  }

  /** A small object's bytes if they are in memory. */
  inMemory(source: Source): Buffer | undefined {
    return source.sizeBytes <= HOT_OBJECT_BYTES ? this.#hot.get(source.key) : undefined;
  }

  /** Fetches what is not in memory yet: a small object's bytes, an open file for another. To be released. */
  async open(source: Source): Promise<Buffer | OpenFile> {
    const { key, sizeBytes } = source;
    const file = await this.#files.acquire(key);
    if (sizeBytes > HOT_OBJECT_BYTES) return file;
    try {
      const bytes = Buffer.allocUnsafeSlow(sizeBytes);
      const { bytesRead } = await file.handle.read(bytes, 0, sizeBytes, 0);
      if (bytesRead < sizeBytes) throw new Error('the file is shorter than it should be');
      if (!file.withdrawn) this.#hot.set(key, bytes);
      return bytes;
    } finally {
      this.#files.release(file);
    }
  }

  release(opened: Buffer | OpenFile): void {
    if (!Buffer.isBuffer(opened)) this.#files.release(opened);
  }

  /** It must not be read any more by new responses; `damaged`: nor by those that read it now. */
  withdraw(key: string, damaged = false): void {
    this.#files.withdraw(key, damaged);
    this.#hot.delete(key);
  }

  /** The disk has gone, or it is the end. */
  clear(): void {
    this.#files.close();
    this.#hot.clear();
  }
}
