import { readFileSync } from 'node:fs';
import { readFile } from 'node:fs/promises';

/** The kernel's figures on one block device, since it was plugged in (Documentation/block/stat.rst). */
export interface IoSample {
  atMs: number;
  reads: number;
  readMs: number;
  writes: number;
  writeMs: number;
  inFlight: number;
}

/** @returns null when the device has no figures (no block device, not Linux) */
export async function readIoSample(device: string, nowMs: number): Promise<IoSample | null> {
  return sampleOf(await readFile(`/sys/dev/block/${device}/stat`, 'utf8').catch(() => null), nowMs);
}

/** As `readIoSample`, at once: the kernel answers from memory, and threads may all be waiting for the disk. */
export function readIoSampleNow(device: string, nowMs: number): IoSample | null {
  try {
    return sampleOf(readFileSync(`/sys/dev/block/${device}/stat`, 'utf8'), nowMs);
  } catch {
    return null;
  }
}

function sampleOf(text: string | null, nowMs: number): IoSample | null {
  const fields = text?.trim().split(/\s+/).map(Number);
  if (!fields || fields.length < 9 || fields.some((field) => !Number.isFinite(field))) return null;
  const [reads = 0, , , readMs = 0, writes = 0, , , writeMs = 0, inFlight = 0] = fields;
  return { atMs: nowMs, reads, readMs, writes, writeMs, inFlight };
}

const WINDOW_MS = 30_000;
/** Means over the window; a healthy USB hard disk under load stays under a fifth of them. */
export const SLOW_READ_MS = 500;
/** Writes gather in the disk's queue, and a slow stick is slow at them. */
export const SLOW_WRITE_MS = 3_000;
/** Fewer than this in a window say nothing. */
const LEAST_REQUESTS = 8;
/** A request under way that long, with none finished, ms. */
export const STUCK_MS = 5_000;

/**
 * How long real reads and writes of the device took over the last half minute, by the kernel's own count: it
 * costs the serving path nothing, and sees what a look at the disk's folder, answered from memory, does not.
 */
export class DiskLatency {
  #device: string | null = null;
  #samples: IoSample[] = [];

  add(device: string, sample: IoSample): void {
    if (device !== this.#device) this.reset();
    this.#device = device;
    const last = this.#samples.at(-1);
    // Counters that ran backwards are another device's under the same number.
    if (last && (sample.reads < last.reads || sample.writes < last.writes)) this.#samples = [];
    this.#samples.push(sample);
    while ((this.#samples[1]?.atMs ?? Number.POSITIVE_INFINITY) <= sample.atMs - WINDOW_MS)
      this.#samples.shift();
  }

  reset(): void {
    this.#device = null;
    this.#samples = [];
  }

  /** Whether the device has finished anything since it was last looked at: then it works, however slowly. */
  hasMoved(now: IoSample | null): boolean {
    const last = this.#samples.at(-1);
    return now !== null && last !== undefined && now.reads + now.writes > last.reads + last.writes;
  }

  /** What is slow, for a person; null when nothing is. */
  get complaint(): string | null {
    const first = this.#samples[0];
    const last = this.#samples.at(-1);
    if (!first || !last || first === last) return null;
    const reads = last.reads - first.reads;
    const writes = last.writes - first.writes;
    const readMs = (last.readMs - first.readMs) / reads;
    const writeMs = (last.writeMs - first.writeMs) / writes;
    if (reads >= LEAST_REQUESTS && readMs > SLOW_READ_MS) return `a read takes ${Math.round(readMs)} ms`;
    if (writes >= LEAST_REQUESTS && writeMs > SLOW_WRITE_MS) return `a write takes ${Math.round(writeMs)} ms`;
    const stuck = this.#samples.findLast(
      (one) => one.reads + one.writes < last.reads + last.writes || one.inFlight === 0,
    );
    const sinceMs = last.atMs - (stuck?.atMs ?? first.atMs);
    if (last.inFlight > 0 && sinceMs >= STUCK_MS)
      return `a request has been under way for ${Math.round(sinceMs / 1000)} s`;
    return null;
  }
}
