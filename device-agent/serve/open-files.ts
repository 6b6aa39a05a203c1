import type { FileHandle } from 'node:fs/promises';

/** An open object and how many responses read it. */
export interface OpenFile {
  readonly sha256: string;
  readonly handle: FileHandle;
  readers: number;
  /** Taken out of the cache: closed when the last reader is done. */
  withdrawn: boolean;
}

/**
 * Open files of held objects, kept so that a request needs no open: at most `limit` that nobody reads, least
 * recently used closed first.
 */
export class OpenFiles {
  readonly #open: (sha256: string) => Promise<FileHandle>;
  readonly #limit: number;
  readonly #files = new Map<string, Promise<OpenFile>>();
  /** Files nobody reads, oldest first. */
  readonly #idle = new Map<string, OpenFile>();

  constructor(open: (sha256: string) => Promise<FileHandle>, limit: number) {
    this.#open = open;
    this.#limit = limit;
  }

  /** The caller must `release` what it gets. */
  async acquire(sha256: string): Promise<OpenFile> {
    let opening = this.#files.get(sha256);
    if (!opening) {
      opening = this.#open(sha256).then((handle) => ({ sha256, handle, readers: 0, withdrawn: false }));
      this.#files.set(sha256, opening);
      opening.catch(() => {
        if (this.#files.get(sha256) === opening) this.#files.delete(sha256);
      });
    }
    const file = await opening;
    file.readers++;
    this.#idle.delete(sha256);
    return file;
  }

  release(file: OpenFile): void {
    file.readers--;
    if (file.readers > 0) return;
    if (file.withdrawn) return void file.handle.close().catch(() => undefined);
    this.#idle.set(file.sha256, file);
    if (this.#idle.size > this.#limit) {
      const [oldest] = this.#idle.keys();
      if (oldest !== undefined) this.withdraw(oldest);
    }
  }

  /** The object must not be read any more by new responses. */
  withdraw(sha256: string): void {
    const opening = this.#files.get(sha256);
    if (!opening) return;
    this.#files.delete(sha256);
    this.#idle.delete(sha256);
    void opening.then(
      (file) => {
        file.withdrawn = true;
        if (file.readers === 0) void file.handle.close().catch(() => undefined);
      },
      () => undefined,
    );
  }

  /** Closes everything that is not being read, and the rest when it is done. */
  close(): void {
    for (const sha256 of [...this.#files.keys()]) this.withdraw(sha256);
  }
}
