import type { FileHandle } from 'node:fs/promises';
import type { Logger } from 'pino';
import type { ObjectFile } from '#agent/store/object-file.ts';
import type { Store } from '#agent/store/store.ts';
import { messageOf } from '#protocol/errors.ts';
import type { Located } from '../workers/messages.ts';
import { encode } from './encoder.ts';
import type { Variants } from './select.ts';
import type { Coding, Variant } from './variant.ts';
import { CODINGS, keyOf, readKey } from './variant.ts';
import { VariantFiles } from './variant-files.ts';

export interface EncodingsParts {
  store: Store;
  log: Logger;
  limits: EncodingLimits;
  /** A variant must not be read any more. */
  onGone: (key: string) => void;
  /** An object was read for encoding, and is not what it should be. */
  onSourceDamaged: (sha256: string, error: unknown) => void;
}

export interface EncodingLimits {
  /** Most bytes a second that are encoded. */
  bytesPerSecond: number;
  /** All variants together, bytes. */
  mostBytes: number;
  mostVariants: number;
}

export const ENCODING_LIMITS: EncodingLimits = {
  bytesPerSecond: 512 * 1024,
  mostBytes: 512 * 1024 * 1024,
  mostVariants: 20_000,
};

/** Wishes that wait; those beyond are made known again by the next client. */
const MOST_WAITING = 256;
/** Variants that turned out not to be worth it and are not tried again, until the next start. */
const MOST_POOR = 4_096;
/** A variant must save a tenth, or the client's work of decoding it is for nothing. */
const WORTH = 0.9;

/**
 * Compressed copies of held text objects. One is made when a client would have taken it, in the background, one at
 * a time and at a bounded pace; it lives as long as its object is in service, and those that were not asked for the
 * longest go when there are too many. Nothing here is needed: whatever goes wrong, the object itself is served.
 */
export class Encodings implements Variants {
  readonly #parts: EncodingsParts;
  readonly #files: VariantFiles;
  /** By key, least recently used first. */
  readonly #variants = new Map<string, Variant>();
  readonly #waiting = new Set<string>();
  readonly #poor = new Set<string>();
  #usedBytes = 0;
  /** The object whose variant is being made. */
  #making: { sha256: string; stop: AbortController } | null = null;
  #turn: Promise<void> = Promise.resolve();
  #closed = false;

  constructor(parts: EncodingsParts) {
    this.#parts = parts;
    this.#files = new VariantFiles(parts.store.disk.layout);
    parts.store.on((event) => {
      if (event.type === 'loaded') this.#alone(() => this.#load());
      // The catalog is read anew when a disk comes back, and what is still whole is told as withdrawn as well.
      else if (event.type === 'withdrawn' && !this.#isHeld(event.sha256)) this.#dropAllOf(event.sha256);
    });
    if (parts.store.catalog.objectCount > 0) this.#alone(() => this.#load());
  }

  /** Bytes on the disk; they count as used like those of objects. */
  get usedBytes(): number {
    return this.#usedBytes;
  }

  find(sha256: string, coding: Coding): Variant | null {
    const key = keyOf(sha256, coding);
    const variant = this.#variants.get(key);
    if (!variant) return null;
    this.#variants.delete(key);
    this.#variants.set(key, variant);
    return variant;
  }

  want(sha256: string, coding: Coding): void {
    const key = keyOf(sha256, coding);
    if (this.#closed || this.#waiting.has(key) || this.#poor.has(key)) return;
    if (this.#waiting.size >= MOST_WAITING) return;
    this.#waiting.add(key);
    this.#alone(async () => {
      await this.#make(sha256, coding).finally(() => this.#waiting.delete(key));
    });
  }

  /** Opens a variant for reading, every byte of it verified. @throws Error when it is gone or damaged */
  async open(key: string): Promise<FileHandle> {
    const named = readKey(key);
    const variant = this.#variants.get(key);
    if (!named || !variant) throw new Error('there is no such variant');
    return this.#files.openVerified(named.sha256, variant);
  }

  /** Where a variant is, for another process to open it as `open` does; null when there is no such. */
  locate(key: string): Extract<Located, { kind: 'variant' }> | null {
    const named = readKey(key);
    const variant = this.#variants.get(key);
    if (!named || !variant) return null;
    return { kind: 'variant', root: this.#parts.store.disk.layout.root, sha256: named.sha256, variant };
  }

  /** A variant could not be read. It is not chosen again from now on, and its file goes. */
  failed(key: string, error: unknown): void {
    const named = readKey(key);
    if (!named || !this.#variants.has(key)) return;
    this.#parts.log.warn({ key, reason: messageOf(error) }, 'a compressed copy is not usable');
    this.#drop(named.sha256, named.coding);
  }

  /** Reads the variants of an object again; one that is not what was made goes. @returns bytes read */
  async recheck(sha256: string): Promise<number> {
    let bytes = 0;
    for (const coding of CODINGS) {
      const key = keyOf(sha256, coding);
      const variant = this.#variants.get(key);
      if (!variant) continue;
      bytes += variant.sizeBytes;
      await this.#files
        .openVerified(sha256, variant)
        .then((handle) => handle.close())
        .catch((error) => this.failed(key, error));
    }
    return bytes;
  }

  /** There is better use for the room: all go. Resolves when their files have gone; more are made when there is room. */
  async shed(): Promise<void> {
    this.#making?.stop.abort();
    for (const key of [...this.#variants.keys()]) {
      const named = readKey(key);
      if (named) this.#drop(named.sha256, named.coding);
    }
    await this.#turn;
  }

  /** The disk has gone. What was on it is looked at anew when it is back. */
  forgetAll(): void {
    this.#making?.stop.abort();
    for (const key of this.#variants.keys()) this.#parts.onGone(key);
    this.#variants.clear();
    this.#usedBytes = 0;
  }

  /** Waits until nothing is being made or removed. */
  async settled(): Promise<void> {
    await this.#turn;
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#making?.stop.abort();
    await this.#turn;
  }

  #isHeld(sha256: string): boolean {
    return this.#parts.store.catalog.objects.get(sha256)?.state === 'complete';
  }

  /** Everything that touches files takes turns; a failure costs a variant and nothing else. */
  #alone(work: () => Promise<void>): void {
    this.#turn = this.#turn.then(work).catch((error: unknown) => {
      if (this.#closed || (error as Error).name === 'AbortError') return;
      this.#parts.log.warn({ reason: messageOf(error) }, 'compressed copies: something went wrong');
    });
  }

  /** Takes up what lies on the disk; what no held object needs is removed. */
  async #load(): Promise<void> {
    this.forgetAll();
    for await (const { sha256, variant } of this.#files.list()) {
      if (this.#closed) return;
      const key = keyOf(sha256, variant.coding);
      const fits = this.#isHeld(sha256) && !this.#variants.has(key) && variant.sizeBytes > 0;
      if (fits) this.#add(key, variant);
      else await this.#files.remove(sha256, variant).catch(() => undefined);
    }
    this.#makeRoom();
  }

  async #make(sha256: string, coding: Coding): Promise<void> {
    const { store, limits, onSourceDamaged } = this.#parts;
    const key = keyOf(sha256, coding);
    const object = store.catalog.objects.get(sha256);
    if (this.#closed || object?.state !== 'complete' || this.#variants.has(key)) return;
    if (!store.disk.writable || store.disk.spareBytes < object.sizeBytes) return;
    const { sizeBytes } = object;
    const stop = new AbortController();
    this.#making = { sha256, stop };
    let source: ObjectFile | null = null;
    let into: FileHandle | null = null;
    try {
      source = await store.openComplete(sha256);
      into = await this.#files.create();
      const { bytesPerSecond } = limits;
      const made = await encode({ coding, source, sizeBytes, into, bytesPerSecond, signal: stop.signal });
      if (made.sourceSha256 !== sha256) {
        onSourceDamaged(sha256, new Error('its bytes are not what they were'));
        return;
      }
      if (made.sizeBytes > sizeBytes * WORTH) {
        this.#notWorth(key);
        return;
      }
      const variant = { coding, sha256: made.sha256, sizeBytes: made.sizeBytes };
      await this.#files.keep(into, sha256, variant);
      into = null;
      // It may have gone out of service meanwhile.
      if (stop.signal.aborted || !this.#isHeld(sha256)) await this.#files.remove(sha256, variant);
      else this.#add(key, variant);
      this.#makeRoom();
    } finally {
      this.#making = null;
      await source?.close();
      if (into) await this.#files.discard(into).catch(() => undefined);
    }
  }

  #notWorth(key: string): void {
    if (this.#poor.size >= MOST_POOR) this.#poor.clear();
    this.#poor.add(key);
  }

  #add(key: string, variant: Variant): void {
    this.#variants.set(key, variant);
    this.#usedBytes += variant.sizeBytes;
  }

  #makeRoom(): void {
    const { mostBytes, mostVariants } = this.#parts.limits;
    for (const key of this.#variants.keys()) {
      if (this.#usedBytes <= mostBytes && this.#variants.size <= mostVariants) return;
      const named = readKey(key);
      if (named) this.#drop(named.sha256, named.coding);
    }
  }

  #dropAllOf(sha256: string): void {
    if (this.#making?.sha256 === sha256) this.#making.stop.abort();
    for (const coding of CODINGS) this.#drop(sha256, coding);
  }

  #drop(sha256: string, coding: Coding): void {
    const key = keyOf(sha256, coding);
    const variant = this.#variants.get(key);
    if (!variant) return;
    this.#variants.delete(key);
    this.#usedBytes -= variant.sizeBytes;
    this.#parts.onGone(key);
    this.#alone(() => this.#files.remove(sha256, variant));
  }
}
