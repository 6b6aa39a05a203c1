import { LIMITS } from '#protocol/limits.ts';
import type { AssetReport } from '#protocol/messages.ts';

/** Gathered changes go out this soon after the first, ms. */
const SOON_MS = 50;
/** Progress of one download is told at most this often, ms. */
const PROGRESS_MS = 1_000;
/** Assets whose report waits; with more the index tells the whole instead. */
const MOST_WAITING = 5_000;

/**
 * Tells the fleet what changes in what the box holds: the newest state of each asset, changes of state at once,
 * progress at most every second. Reports that are lost are made up for by the index.
 */
export class Reporter {
  readonly #send: (reports: AssetReport[]) => void;
  readonly #sendIndex: () => void;
  #waiting = new Map<string, AssetReport>();
  /** What was last told of downloads under way. */
  readonly #progress = new Map<string, number>();
  #timer: NodeJS.Timeout | null = null;
  #dueAtMs = 0;
  #overflow = false;

  constructor(send: (reports: AssetReport[]) => void, sendIndex: () => void) {
    this.#send = send;
    this.#sendIndex = sendIndex;
  }

  add(report: AssetReport): void {
    if (this.#waiting.size >= MOST_WAITING && !this.#waiting.has(report.assetId)) {
      this.#overflow = true;
      return;
    }
    this.#waiting.set(report.assetId, report);
    const now = performance.now();
    if (report.state !== 'downloading') {
      this.#progress.delete(report.assetId);
      this.#schedule(now + SOON_MS);
      return;
    }
    const last = this.#progress.get(report.assetId);
    this.#schedule(last === undefined ? now + SOON_MS : Math.max(now + SOON_MS, last + PROGRESS_MS));
  }

  close(): void {
    if (this.#timer) clearTimeout(this.#timer);
    this.#timer = null;
  }

  #schedule(atMs: number): void {
    if (this.#timer && this.#dueAtMs <= atMs) return;
    if (this.#timer) clearTimeout(this.#timer);
    this.#dueAtMs = atMs;
    this.#timer = setTimeout(() => this.#flush(), Math.max(0, atMs - performance.now()));
    this.#timer.unref();
  }

  #flush(): void {
    this.#timer = null;
    const now = performance.now();
    const due: AssetReport[] = [];
    const later = new Map<string, AssetReport>();
    let nextMs = Number.POSITIVE_INFINITY;
    for (const report of this.#waiting.values()) {
      const last = this.#progress.get(report.assetId) ?? Number.NEGATIVE_INFINITY;
      if (report.state === 'downloading' && now - last < PROGRESS_MS) {
        later.set(report.assetId, report);
        nextMs = Math.min(nextMs, last + PROGRESS_MS);
        continue;
      }
      if (report.state === 'downloading') this.#progress.set(report.assetId, now);
      due.push(report);
    }
    this.#waiting = later;
    for (let at = 0; at < due.length; at += LIMITS.assetsPerReport) {
      this.#send(due.slice(at, at + LIMITS.assetsPerReport));
    }
    if (this.#overflow) {
      this.#overflow = false;
      this.#sendIndex();
    }
    if (later.size > 0) this.#schedule(nextMs);
  }
}
