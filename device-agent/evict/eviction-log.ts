import path from 'node:path';
import { appendDurably, readTextIfAny, writeFileDurably } from '#agent/durable/durable-file.ts';
import type { DiskLayout } from '#agent/store/layout.ts';
import { Ghosts } from './ghosts.ts';

/** Something the box put out that its fleet may not know of. */
export interface Untold {
  assetId: string;
  sha256: string;
  /** Fleet time, as far as it was known, ms. */
  atMs: number;
}

const MOST_GHOSTS = 16_384;
/** Evictions the fleet has not been told of; with more, the index tells. */
const MOST_UNTOLD = 5_000;
/** Assets the fleet wants kept; of more, the oldest word is forgotten. */
export const MOST_VETOES = 10_000;
/** With more lines than this the file is written anew; it is never longer than one line more. */
const MOST_LINES = 40_000;
const MOST_BYTES = 8 * 1024 * 1024;

const GHOST = /^g ([0-9a-f]{8}) (\d{1,9}(?:\.\d{1,4})?);$/;
const EVICTED = /^e (asset-[0-9a-hjkmnp-tv-z]{16}) ([0-9a-f]{64}) (\d{1,16});$/;
const VETOED = /^v (asset-[0-9a-hjkmnp-tv-z]{16}) (\d{1,16});$/;
const TOLD = 't;';

/**
 * What is remembered of evictions, on the disk they made room on: how much what went had been asked for, what the
 * fleet has not been told of, and what it wants kept. One file, to which a line is added for each object before it goes:
 * an eviction removes several files anyway, and nothing is written between two. A line that a crash cut off, before
 * its semicolon, says nothing.
 */
export class EvictionLog {
  readonly #layout: DiskLayout;
  #ghosts = new Ghosts(MOST_GHOSTS);
  #untold: Untold[] = [];
  #vetoes = new Map<string, number>();
  #lines = 0;
  #turn: Promise<unknown> = Promise.resolve();

  constructor(layout: DiskLayout) {
    this.#layout = layout;
  }

  get #file(): string {
    return path.join(this.#layout.home, 'evicted.log');
  }
  /** Oldest first. */
  get untold(): readonly Untold[] {
    return this.#untold;
  }

  /** What the fleet wanted kept, with when it said so (fleet time, as far as it was known, ms); oldest first. */
  get vetoes(): ReadonlyMap<string, number> {
    return this.#vetoes;
  }

  /** How much an object that was put out had been asked for; 0 when that is not remembered. */
  heatOf(sha256: string): number {
    return this.#ghosts.recall(prefixOf(sha256));
  }

  /** A disk has come: what it says takes the place of what was known. One that cannot be read says nothing. */
  async open(): Promise<void> {
    await this.#inTurn(async () => {
      const text = await readTextIfAny(this.#file, MOST_BYTES).catch(() => null);
      this.#ghosts = new Ghosts(MOST_GHOSTS);
      this.#untold = [];
      this.#vetoes = new Map();
      const lines = (text ?? '').split('\n');
      this.#lines = lines.length;
      for (const line of lines) this.#take(line);
    });
  }

  /**
   * These are about to be put out. @returns when that is on the disk
   * @param isTold the fleet has agreed
   * @throws Error from the disk; it is remembered in memory all the same
   */
  async note(
    gone: readonly { sha256: string; heat: number; assetIds: readonly string[] }[],
    isTold: boolean,
    atMs: number,
  ): Promise<void> {
    const lines: string[] = [];
    for (const { sha256, heat, assetIds } of gone) {
      lines.push(ghostLine(prefixOf(sha256), heat));
      if (isTold) continue;
      for (const assetId of assetIds)
        lines.push(untoldLine({ assetId, sha256, atMs: Math.max(0, Math.floor(atMs)) }));
    }
    await this.#add(lines);
  }

  /**
   * The fleet wants these kept. @returns when that is on the disk
   * @throws Error from the disk; it is remembered in memory all the same
   */
  async veto(assetIds: Iterable<string>, atMs: number): Promise<void> {
    const lines = Array.from(assetIds, (assetId) => vetoLine(assetId, Math.max(0, Math.floor(atMs))));
    if (lines.length > 0) await this.#add(lines);
  }

  /** The fleet knows of these. */
  async told(some: readonly Untold[]): Promise<void> {
    const told = new Set(some);
    this.#untold = this.#untold.filter((one) => !told.has(one));
    // Until all are told it may hear of some again, which does no harm.
    if (this.#untold.length === 0) await this.#add([TOLD]);
  }

  #take(line: string): void {
    const ghost = GHOST.exec(line);
    if (ghost) this.#ghosts.remember(Number.parseInt(ghost[1] ?? '', 16), Number(ghost[2]));
    if (line === TOLD) this.#untold = [];
    const [, kept, saidAt] = VETOED.exec(line) ?? [];
    if (kept !== undefined) this.#keep(kept, Number(saidAt));
    const [, assetId, sha256, at] = EVICTED.exec(line) ?? [];
    if (assetId === undefined || sha256 === undefined) return;
    if (this.#untold.length >= MOST_UNTOLD) this.#untold.shift();
    this.#untold.push({ assetId, sha256, atMs: Number(at) });
  }

  #keep(assetId: string, atMs: number): void {
    this.#vetoes.delete(assetId);
    const [oldest] = this.#vetoes.keys();
    if (this.#vetoes.size >= MOST_VETOES && oldest !== undefined) this.#vetoes.delete(oldest);
    this.#vetoes.set(assetId, atMs);
  }

  async #add(lines: string[]): Promise<void> {
    for (const line of lines) this.#take(line);
    await this.#inTurn(async () => {
      if (this.#lines + lines.length > MOST_LINES) {
        const vetoes = Array.from(this.#vetoes, ([assetId, atMs]) => vetoLine(assetId, atMs));
        const whole = [...this.#ghostLines(), ...this.#untold.map(untoldLine), ...vetoes];
        await writeFileDurably(this.#file, `${whole.join('\n')}\n`);
        this.#lines = whole.length;
      } else {
        // A line cut off by a crash must not run into this one.
        await appendDurably(this.#file, `\n${lines.join('\n')}\n`);
        this.#lines += lines.length + 1;
      }
    });
  }

  *#ghostLines(): Generator<string> {
    for (const [prefix, heat] of this.#ghosts.entries()) yield ghostLine(prefix, heat);
  }

  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const done = this.#turn.then(work);
    this.#turn = done.catch(() => undefined);
    return done;
  }
}

function ghostLine(prefix: number, heat: number): string {
  return `g ${prefix.toString(16).padStart(8, '0')} ${Math.max(0, heat).toFixed(4)};`;
}

function untoldLine({ assetId, sha256, atMs }: Untold): string {
  return `e ${assetId} ${sha256} ${atMs};`;
}

function vetoLine(assetId: string, atMs: number): string {
  return `v ${assetId} ${atMs};`;
}

function prefixOf(sha256: string): number {
  return Number.parseInt(sha256.slice(0, 8), 16);
}
