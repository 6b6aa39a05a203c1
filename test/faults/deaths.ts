import { AsyncLocalStorage } from 'node:async_hooks';
import fs, { existsSync } from 'node:fs';
import type { FileHandle } from 'node:fs/promises';
import { syncBuiltinESMExports } from 'node:module';
import path from 'node:path';

/** What a box is doing when it changes something on its disk, or is about to: what it is killed in. */
export const AREAS = [
  'chunk',
  'commit',
  'want',
  'unwant',
  'remove',
  'propose',
  'verdict',
  'evict by verdict',
  'evict alone',
  'index',
  'stale',
  'move',
  'variant',
] as const;
export type Area = (typeof AREAS)[number];

/** A moment of a life that it does not survive: before, after or in the middle of a change, counted by area. */
export interface Death {
  area: Area;
  /** 1 is the first change in that area. */
  at: number;
  manner: 'before' | 'after' | 'torn';
}

/**
 * Stands in front of every call by which this process changes files below a folder, counts them, and ends it by
 * SIGKILL at the one that is named. A change is a call that changes something: removing what is not there is none.
 */
export class Deaths {
  readonly #root: string;
  readonly #death: Death | null;
  readonly #onDeath: (what: string) => void;
  readonly #eviction = new AsyncLocalStorage<boolean>();
  readonly #evictArea: Area;
  readonly #paths = new WeakMap<object, string>();
  readonly counts: Partial<Record<Area, number>> = {};
  #armed = false;

  /** @param parts.evictArea what evictions count as; `onDeath` is told before the end */
  constructor(parts: {
    root: string;
    death: Death | null;
    evictArea: Area;
    onDeath: (what: string) => void;
  }) {
    this.#root = parts.root;
    this.#death = parts.death;
    this.#evictArea = parts.evictArea;
    this.#onDeath = parts.onDeath;
  }

  /** From now on changes are counted. */
  arm(): void {
    this.#armed = true;
  }

  /** What is changed in here belongs to an eviction. */
  evicting<T>(work: () => Promise<T>): Promise<T> {
    return this.#eviction.run(true, work);
  }

  /** A moment without a change of its own at which the box may end. */
  async point(area: Area): Promise<void> {
    await this.#change(area, area, async () => undefined, null);
  }

  /** Puts the counting in front of node:fs/promises, for everyone. */
  async install(): Promise<void> {
    const calls = fs.promises as unknown as Record<string, (...args: unknown[]) => Promise<unknown>>;
    const open = fs.promises.open;
    calls.open = async (...args) => {
      const handle = await open(...(args as Parameters<typeof open>));
      this.#paths.set(handle, String(args[0]));
      return handle;
    };
    for (const name of ['rename', 'rm', 'mkdir', 'rmdir']) {
      const real = calls[name]?.bind(fs.promises);
      if (!real) throw new Error(`there is no ${name}`);
      calls[name] = (...args) => {
        const place = String(args[0]);
        const isChange = name === 'mkdir' ? !existsSync(place) : existsSync(place);
        const area = isChange ? this.#areaOf(name, place) : null;
        return this.#change(area, `${name} ${place}`, () => real(...args), null);
      };
    }
    await this.#installOnHandles();
    syncBuiltinESMExports();
  }

  async #installOnHandles(): Promise<void> {
    const handle = await fs.promises.open(this.#root, 'r');
    const prototype = Object.getPrototypeOf(handle) as Record<
      string,
      (this: FileHandle, ...args: unknown[]) => Promise<unknown>
    >;
    await handle.close();
    const deaths = this;
    for (const name of ['write', 'appendFile', 'writeFile', 'sync', 'datasync', 'truncate']) {
      const real = prototype[name];
      if (!real) throw new Error(`a FileHandle has no ${name}`);
      prototype[name] = function (...args) {
        const place = deaths.#paths.get(this) ?? '';
        const torn = half(args);
        return deaths.#change(
          deaths.#areaOf(name, place),
          `${name} ${place}`,
          () => real.apply(this, args),
          torn ? () => real.apply(this, torn) : null,
        );
      };
    }
  }

  /** Runs one change, unless it is the last one. */
  async #change<T>(
    area: Area | null,
    what: string,
    whole: () => Promise<T>,
    torn: (() => Promise<unknown>) | null,
  ): Promise<T> {
    if (!this.#armed || area === null) return whole();
    const count = (this.counts[area] ?? 0) + 1;
    this.counts[area] = count;
    if (this.#death?.area !== area || this.#death.at !== count) return whole();
    const { manner } = this.#death;
    const die = () => {
      this.#onDeath(`${manner} ${what}`);
      process.kill(process.pid, 'SIGKILL');
    };
    if (manner === 'before') die();
    if (manner === 'torn' && torn) {
      await torn();
      die();
    }
    const result = await whole();
    die();
    return result;
  }

  #areaOf(call: string, place: string): Area | null {
    const [home, folder = '', name] = path.relative(this.#root, place).split(path.sep);
    if (home !== 'hearth') return null;
    if (folder.startsWith('index.stale')) return call === 'rm' ? 'index' : 'stale';
    if (folder.startsWith('index.jsonl') || folder === '') return 'index';
    if (folder === 'encodings') return 'variant';
    if (folder.startsWith('evicted.log')) return this.#evictArea;
    if (this.#eviction.getStore()) return this.#evictArea;
    const removes = call === 'rm' || call === 'rmdir';
    if (folder === 'assets') {
      if (call === 'rename' && name?.endsWith('.json')) return 'move';
      return removes ? 'unwant' : 'want';
    }
    if (removes) return 'remove';
    if (folder === 'objects') return 'commit';
    return ['write', 'appendFile', 'writeFile'].includes(call) ? 'chunk' : 'commit';
  }
}

/** The same write with half the bytes; null when that cannot be. */
function half(args: unknown[]): unknown[] | null {
  const [data, offset, length, ...more] = args;
  if (typeof data === 'string') return [data.slice(0, data.length >> 1)];
  if (Buffer.isBuffer(data) && typeof length === 'number') return [data, offset, length >> 1, ...more];
  if (Buffer.isBuffer(data)) return [data.subarray(0, data.length >> 1)];
  return null;
}
