import http from 'node:http';
import https from 'node:https';
import { readText } from '#agent/durable/durable-file.ts';
import { HearthError, isHearthError, messageOf } from '#protocol/errors.ts';
import type { FetchMetadata, ReleaseTrust, TrustedMetadata } from '#protocol/release-trust.ts';
import type { UpdateMemory } from './memory.ts';

const FETCH_MS = 30_000;

/**
 * The releases this box believes in, begun from the root of trust that came with the package. What reads them is
 * loaded when it is asked for: an idle box has no use for it.
 */
export class BoxTrust {
  readonly #memory: UpdateMemory;
  readonly #rootFile: string | null;
  #trust: ReleaseTrust | null = null;

  constructor(memory: UpdateMemory, rootFile: string | null) {
    this.#memory = memory;
    this.#rootFile = rootFile;
  }

  /** @throws HearthError `update_no_trust` when the package brought no root of trust, and none is remembered */
  async open(): Promise<ReleaseTrust> {
    if (this.#trust) return this.#trust;
    const { ReleaseTrust } = await import('#protocol/release-trust.ts');
    const tryOpen = (texts: TrustedMetadata | null) => {
      try {
        return texts && new ReleaseTrust(texts);
      } catch (error) {
        if (isHearthError(error)) return null;
        throw error;
      }
    };
    const kept = tryOpen(await this.#memory.readTrust());
    const packaged = tryOpen(await this.#packaged());
    // A later package may bring a later root, for boxes that were not there when it was handed on.
    this.#trust = packaged && packaged.rootVersion > (kept?.rootVersion ?? 0) ? packaged : kept;
    if (!this.#trust) {
      throw new HearthError(
        'update_no_trust',
        'this box has no root of trust (HEARTH_UPDATE_ROOT), and takes no updates',
      );
    }
    return this.#trust;
  }

  /**
   * Brings it up to date, and remembers what is new, also when a later step fails: keys that were handed on stay so.
   * @param url where the metadata is
   */
  async refresh(url: string, nowMs: number, signal: AbortSignal): Promise<ReleaseTrust> {
    const trust = await this.open();
    const before = JSON.stringify(await this.#memory.readTrust());
    try {
      await trust.refresh(fetchFrom(url, signal), nowMs);
    } finally {
      if (JSON.stringify(trust.texts) !== before) await this.#memory.writeTrust(trust.texts);
    }
    return trust;
  }

  async #packaged(): Promise<TrustedMetadata | null> {
    if (this.#rootFile === null) return null;
    const root = await readText(this.#rootFile).catch(() => null);
    return root === null ? null : { root, timestamp: null, snapshot: null, targets: null };
  }
}

function fetchFrom(url: string, signal: AbortSignal): FetchMetadata {
  return async (name, mostBytes) => {
    try {
      return await getText(`${url}/${name}`, mostBytes, signal);
    } catch (cause) {
      signal.throwIfAborted();
      if (isHearthError(cause)) throw cause;
      throw new HearthError('unavailable', `${name} could not be fetched: ${messageOf(cause)}`, { cause });
    }
  };
}

/** Null: there is no such file. Redirects are not followed: the fleet says where its metadata is. */
function getText(url: string, mostBytes: number, signal: AbortSignal): Promise<string | null> {
  return new Promise((resolve, reject) => {
    const get = url.startsWith('https:') ? https.get : http.get;
    const request = get(url, { signal, agent: false, timeout: FETCH_MS }, (response) => {
      const { statusCode } = response;
      if (statusCode !== 200) {
        response.destroy();
        if (statusCode === 404) resolve(null);
        else reject(new Error(`HTTP ${statusCode}`));
        return;
      }
      const pieces: Buffer[] = [];
      let size = 0;
      response.on('data', (piece: Buffer) => {
        size += piece.length;
        pieces.push(piece);
        // Endless data: left in the middle (TUF specification 5.3.3).
        if (size <= mostBytes) return;
        request.destroy();
        reject(new HearthError('release_malformed', `the metadata is longer than ${mostBytes} bytes`));
      });
      response.on('error', reject);
      response.on('end', () => resolve(Buffer.concat(pieces).toString('utf8')));
    });
    const deadline = setTimeout(() => request.destroy(new Error('no answer in time')), FETCH_MS);
    request.on('close', () => clearTimeout(deadline));
    request.on('timeout', () => request.destroy(new Error('no answer in time')));
    request.on('error', reject);
  });
}
