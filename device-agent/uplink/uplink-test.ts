import { randomBytes } from 'node:crypto';
import http from 'node:http';
import https from 'node:https';
import { setTimeout as sleep } from 'node:timers/promises';
import { errnoOf } from '#agent/durable/durable-file.ts';
import { HearthError, messageOf } from '#protocol/errors.ts';
import type { UplinkTestResult } from '#protocol/uplink.ts';
import { UPLINK_TEST_BYTES } from '#protocol/uplink.ts';
import type { Uplink } from './uplink.ts';

export interface UplinkTestOptions {
  /** The fleet that is measured against; null: none is known. */
  fleetUrl: () => string | null;
  uplink: Pick<Uplink, 'up' | 'down'>;
  /** How long each direction is measured, once it has got going, ms. */
  measureMs?: number;
}

/** One connection does not fill a long or lossy line. */
const CONNECTIONS = 4;
const FIRST_BYTES = 32 * 1024;
/** Requests grow until they take about so long: short enough to count, long enough to fill the line, ms. */
const REQUEST_MS = 400;
/** TCP gets going; what comes then is not counted, ms. */
const START_MS = 1_000;
const MEASURE_MS = 3_000;
const REQUEST_TIMEOUT_MS = 15_000;
/** A line that takes so much is known before the time is over; the fleet gives only so much to one network, bytes. */
const MOST_START_BYTES = 64 * 1024 * 1024;
const MOST_BYTES = 256 * 1024 * 1024;
const LOOK_MS = 10;
/**
 * Half of the uplink: it is what homes have least of, and a full one delays every click and call in the house (the
 * router's queue). Four fifths of the downlink: downloads are rare, and a fifth keeps the rest of the house usable.
 */
const PROPOSED = { up: 0.5, down: 0.8 };
const LEAST_CAP = 8 * 1024;
const MOST_CAP = 12_500_000_000;

/** Measures the household's line against the fleet, and proposes caps for it. */
export class UplinkTest {
  readonly #options: UplinkTestOptions;
  #running = false;

  constructor(options: UplinkTestOptions) {
    this.#options = options;
  }

  /**
   * Fills the line for some seconds in each direction. What it uses counts in the month; the caps do not hold it.
   * What is served and fetched meanwhile counts as the line's as well.
   * @throws HearthError `conflict` (one runs already), `unavailable`, `rate_limited`
   */
  async run(signal: AbortSignal): Promise<UplinkTestResult> {
    if (this.#running) throw new HearthError('conflict', 'The line is being measured already.');
    const fleetUrl = this.#options.fleetUrl();
    if (fleetUrl === null) {
      throw new HearthError(
        'unavailable',
        'No fleet is known to measure against: say which one when you pair.',
      );
    }
    this.#running = true;
    const secure = fleetUrl.startsWith('https:');
    const agent = new (secure ? https : http).Agent({ keepAlive: true, maxSockets: CONNECTIONS });
    const url = `${fleetUrl.replace(/\/+$/, '')}/api/v1/uplink-test`;
    try {
      const down = await this.#measure('down', url, agent, signal);
      const up = await this.#measure('up', url, agent, signal);
      return {
        upBytesPerSecond: up,
        downBytesPerSecond: down,
        proposed: {
          upBytesPerSecond: capOf(up * PROPOSED.up),
          downBytesPerSecond: capOf(down * PROPOSED.down),
        },
      };
    } finally {
      agent.destroy();
      this.#running = false;
    }
  }

  /** @returns bytes a second */
  async #measure(
    direction: 'up' | 'down',
    url: string,
    agent: http.Agent,
    signal: AbortSignal,
  ): Promise<number> {
    const shaper = this.#options.uplink[direction];
    const stop = new AbortController();
    const all = AbortSignal.any([signal, stop.signal]);
    const lane = async () => {
      let bytes = FIRST_BYTES;
      while (!all.aborted) {
        const began = performance.now();
        const ask = { url, agent, bytes, signal: all };
        if (direction === 'up') await send(ask, (sent) => shaper.spend(sent));
        else await fetchBytes(ask, (got) => shaper.spend(got));
        const took = performance.now() - began;
        if (took < REQUEST_MS) bytes = Math.min(UPLINK_TEST_BYTES, bytes * 2);
        else if (took > 4 * REQUEST_MS) bytes = Math.max(FIRST_BYTES, Math.floor(bytes / 2));
      }
    };
    let trouble: unknown;
    const lanes = Array.from({ length: CONNECTIONS }, () =>
      lane().catch((error: unknown) => {
        if (all.aborted) return;
        trouble ??= error;
        stop.abort();
      }),
    );
    await passed(START_MS, MOST_START_BYTES, shaper, all);
    const [fromMs, fromBytes] = [performance.now(), shaper.takenBytes];
    await passed(this.#options.measureMs ?? MEASURE_MS, MOST_BYTES, shaper, all);
    const rate = ((shaper.takenBytes - fromBytes) * 1000) / Math.max(1, performance.now() - fromMs);
    stop.abort();
    await Promise.all(lanes);
    signal.throwIfAborted();
    if (trouble !== undefined) throw trouble;
    return Math.round(rate);
  }
}

/** Waits until the time is over or so many bytes have gone, whichever comes first. */
async function passed(
  ms: number,
  mostBytes: number,
  shaper: Pick<Uplink['up'], 'takenBytes'>,
  signal: AbortSignal,
): Promise<void> {
  const untilMs = performance.now() + ms;
  const untilBytes = shaper.takenBytes + mostBytes;
  while (!signal.aborted && performance.now() < untilMs && shaper.takenBytes < untilBytes) {
    await sleep(LOOK_MS, undefined, { signal }).catch(() => undefined);
  }
}

interface Ask {
  url: string;
  agent: http.Agent;
  bytes: number;
  signal: AbortSignal;
}

function fetchBytes(ask: Ask, onBytes: (bytes: number) => void): Promise<void> {
  return exchange({ ...ask, url: `${ask.url}?bytes=${ask.bytes}` }, null, onBytes);
}

/** Counted when the fleet says it has them: what lies in this machine's buffers has not gone over the line. */
async function send(ask: Ask, onBytes: (bytes: number) => void): Promise<void> {
  await exchange(ask, payloadOf(ask.bytes), () => undefined);
  onBytes(ask.bytes);
}

const random = randomBytes(64 * 1024);
/** Pieces of one buffer: a test of a fast line must not take megabytes of memory. */
function payloadOf(bytes: number): Buffer[] {
  const pieces: Buffer[] = [];
  for (let left = bytes; left > 0; left -= random.length)
    pieces.push(random.subarray(0, Math.min(left, random.length)));
  return pieces;
}

function exchange(
  { url, agent, bytes, signal }: Ask,
  payload: Buffer[] | null,
  onBytes: (bytes: number) => void,
): Promise<void> {
  return new Promise((resolve, reject) => {
    const fail = (cause: unknown) => {
      const why = errnoOf(cause) || messageOf(cause);
      reject(
        new HearthError('unavailable', `The line cannot be measured: the fleet cannot be reached (${why}).`),
      );
    };
    const request = (url.startsWith('https:') ? https : http).request(url, {
      method: payload ? 'POST' : 'GET',
      agent,
      signal,
      timeout: REQUEST_TIMEOUT_MS,
      headers: payload ? { 'content-type': 'application/octet-stream', 'content-length': bytes } : {},
    });
    request.on('timeout', () => request.destroy(new Error('no answer in time')));
    request.on('error', fail);
    request.on('response', (response) => {
      response.on('error', fail);
      response.on('data', (piece: Buffer) => {
        if (response.statusCode === 200) onBytes(piece.length);
      });
      response.on('end', () => {
        if (response.statusCode === 200) return resolve();
        if (response.statusCode === 429) {
          return reject(
            new HearthError(
              'rate_limited',
              'The line was measured often enough for now; try again in ten minutes.',
            ),
          );
        }
        reject(
          new HearthError(
            'unavailable',
            `This fleet does not measure lines (status ${response.statusCode}).`,
          ),
        );
      });
    });
    for (const piece of payload ?? []) request.write(piece);
    request.end();
  });
}

/** Whole KiB, within what settings take. */
function capOf(bytesPerSecond: number): number {
  const kib = Math.floor(bytesPerSecond / 1024) * 1024;
  return Math.min(MOST_CAP, Math.max(LEAST_CAP, kib));
}
