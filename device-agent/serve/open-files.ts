import type { OpenedFile } from '#agent/store/object-file.ts';

/** An open object and how many responses read it. */
export interface OpenFile {
  readonly sha256: string;
  readonly handle: OpenedFile;
  /** Taken out of the cache: what is read from it is not to be kept. */
  readonly withdrawn: boolean;
  /** Some of its bytes are known to be wrong: nothing more of it may be sent. */
  readonly damaged: boolean;
}

/**
 * What a failed read of a file says. One that was withdrawn may be of a disk that was pulled, or have been removed:
 * its errors say nothing of what is there now, and must not be taken for the disk's.
 */
export function readError(file: OpenFile, error: unknown): unknown {
  if (!file.withdrawn) return error;
  return Object.assign(new Error('a file was read that is out of use', { cause: error }), { code: 'ESTALE' });
}

interface Entry {
  readonly sha256: string;
  readonly opening: Promise<OpenedFile>;
  handle: OpenedFile | null;
  /** Those who wait for it to be opened included. */
  readers: number;
  /** Taken out of the cache: closed when the last reader is done. */
  withdrawn: boolean;
  damaged: boolean;
}

/**
 * Open files of held objects, kept so that a request needs no open: at most `limit` that nobody reads, least
 * recently used closed first. Readers are counted before anything is waited for, so that no file is closed
 * under one of them: its number could by then be another file's.
 */
export class OpenFiles {
  readonly #open: (sha256: string) => Promise<OpenedFile>;
  readonly #limit: number;
  readonly #entries = new Map<string, Entry>();
  /** Those nobody reads, oldest first. */
  readonly #idle = new Map<string, Entry>();

  constructor(open: (sha256: string) => Promise<OpenedFile>, limit: number) {
    this.#open = open;
    this.#limit = limit;
  }

  /** Open files that nobody reads. */
  get idle(): number {
    return this.#idle.size;
  }

  /** The caller must `release` what it gets. */
  async acquire(sha256: string): Promise<OpenFile> {
    let entry = this.#entries.get(sha256);
    if (!entry) {
      entry = {
        sha256,
        opening: this.#open(sha256),
        handle: null,
        readers: 0,
        withdrawn: false,
        damaged: false,
      };
      this.#entries.set(sha256, entry);
    }
    entry.readers++;
    this.#idle.delete(sha256);
    try {
      const handle = entry.handle ?? (await entry.opening);
      entry.handle = handle;
      return entry as Entry & { handle: OpenedFile };
    } catch (error) {
      entry.readers--;
      if (this.#entries.get(sha256) === entry) this.#entries.delete(sha256);
      throw error;
    }
  }

  /** The file if it is open already; to be released as well. */
  acquireOpen(sha256: string): OpenFile | null {
    const entry = this.#entries.get(sha256);
    if (!entry?.handle) return null;
    entry.readers++;
    this.#idle.delete(sha256);
    return entry as Entry & { handle: OpenedFile };
  }

  /** One more reader of a file that is being read; to be released as well. */
  retain(file: OpenFile): void {
    (file as Entry).readers++;
  }

  release(file: OpenFile): void {
    const entry = file as Entry;
    entry.readers--;
    if (entry.readers > 0) return;
    if (entry.withdrawn) {
      close(entry);
      return;
    }
    this.#idle.set(entry.sha256, entry);
    if (this.#idle.size > this.#limit) {
      const [oldest] = this.#idle.keys();
      if (oldest !== undefined) this.withdraw(oldest);
    }
  }

  /**
   * The object must not be read any more by new responses.
   * @param damaged nor by those that read it now
   */
  withdraw(sha256: string, damaged = false): void {
    const entry = this.#entries.get(sha256);
    if (!entry) return;
    this.#entries.delete(sha256);
    this.#idle.delete(sha256);
    entry.withdrawn = true;
    if (damaged) entry.damaged = true;
    if (entry.readers === 0) close(entry);
  }

  /** Closes everything that is not being read, and the rest when it is done. */
  close(): void {
    for (const sha256 of [...this.#entries.keys()]) this.withdraw(sha256);
  }
}

function close(entry: Entry): void {
  void entry.handle?.close().catch(() => undefined);
}
