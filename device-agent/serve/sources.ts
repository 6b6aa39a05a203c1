import type { OpenedFile } from '#agent/store/object-file.ts';
import type { Buffers } from './buffers.ts';
import type { OpenFile } from './open-files.ts';
import { OpenFiles } from './open-files.ts';
import { PieceCache, SMALL_BYTES } from './pieces/piece-cache.ts';
import type { Source } from './reply.ts';

/** What bodies are read from: small objects in memory, files for the others. */
export class Sources {
  readonly files: OpenFiles;
  readonly pieces: PieceCache;

  constructor(
    open: (key: string) => Promise<OpenedFile>,
    limits: { openFiles: number; piecesBytes: number },
    buffers: Buffers,
  ) {
    this.files = new OpenFiles(open, limits.openFiles);
    this.pieces = new PieceCache(limits.piecesBytes, this.files, buffers);
  }

  /** A small object's bytes if they are in memory. */
  inMemory(source: Source): Buffer | undefined {
    return source.sizeBytes <= SMALL_BYTES ? this.pieces.get(source.key, 0)?.bytes : undefined;
  }

  /** Fetches what is not in memory yet: a small object's bytes, an open file for another. To be released. */
  async open(source: Source): Promise<Buffer | OpenFile> {
    const { key, sizeBytes } = source;
    const file = await this.files.acquire(key);
    if (sizeBytes > SMALL_BYTES) return file;
    try {
      return await this.pieces.readSmall(file, key, sizeBytes);
    } finally {
      this.files.release(file);
    }
  }

  release(opened: Buffer | OpenFile): void {
    if (!Buffer.isBuffer(opened)) this.files.release(opened);
  }

  /** It must not be read any more by new responses; `damaged`: nor by those that read it now. */
  withdraw(key: string, damaged = false): void {
    this.files.withdraw(key, damaged);
    this.pieces.withdraw(key);
  }

  /** The disk has gone, or it is the end. */
  clear(): void {
    this.files.close();
    this.pieces.clear();
  }
}
