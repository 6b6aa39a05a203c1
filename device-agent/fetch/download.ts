import type { PartialObject } from '#agent/store/object-files.ts';
import type { ObjectManifest } from '#agent/store/store.ts';
import type { Backoff } from '#agent/time/backoff.ts';
import { backoffMs, wait } from '#agent/time/backoff.ts';
import { chunkSpan } from '#protocol/asset.ts';
import { receive, SCRATCH_BYTES } from './chunker.ts';
import type { OriginClient } from './origin.ts';
import { OriginError } from './origin.ts';

export interface DownloadOptions {
  /** Chunks fetched at once. */
  parallel: number;
  /** Between quick tries. */
  backoff: Backoff;
  /** Tries without one good chunk before the download counts as failed. */
  tries: number;
}

export const DOWNLOAD_DEFAULTS: DownloadOptions = {
  parallel: 4,
  backoff: { baseMs: 500, capMs: 15_000 },
  tries: 5,
};

/** A Retry-After longer than this is waited for as a failed download, so that others get the slot. */
const LONGEST_WAIT_MS = 15_000;

/**
 * Fetches the missing chunks of one object by Range, several at once; an origin that ignores Range is read
 * through once, by one connection. A try that brings nothing good is followed by a longer wait.
 * @param missing indexes to fetch; empty when it returns
 * @param onGood called for each chunk once it is safe
 * @throws OriginError the last trouble, when trying again soon is no use; the signal's reason when aborted
 */
export async function download(
  target: { manifest: ObjectManifest; partial: PartialObject; missing: Set<number> },
  origin: OriginClient,
  options: DownloadOptions,
  signal: AbortSignal,
  onGood: (index: number) => void,
): Promise<void> {
  const { manifest, partial, missing } = target;
  const scratches: Buffer[] = [];
  const filling = new Set<number>();
  let fruitless = 0;
  let honoursRange = false;
  let urlIndex = 0;

  const fetchOne = async (index: number, scratch: Buffer) => {
    const url = manifest.originUrls[urlIndex % manifest.originUrls.length] ?? '';
    const answer = await origin.ask(url, chunkSpan(manifest, index), manifest.sizeBytes, signal);
    const isWhole = answer.end - answer.start > chunkSpan(manifest, index).length;
    honoursRange = !isWhole;
    await receive(answer.body, answer, { manifest, partial, missing, filling, scratch }, (good) => {
      fruitless = 0;
      onGood(good);
    });
  };

  while (missing.size > 0) {
    signal.throwIfAborted();
    const queue = [...missing].sort((a, b) => a - b);
    const troubles: unknown[] = [];
    // The first answer tells whether the origin honours Range; only then is it worth asking several times.
    const workers = honoursRange ? Math.min(options.parallel, queue.length) : 1;
    const work = async (worker: number) => {
      scratches[worker] ??= Buffer.allocUnsafe(Math.min(SCRATCH_BYTES, manifest.chunkSizeBytes));
      const scratch = scratches[worker] as Buffer;
      do {
        const index = queue.shift();
        if (index === undefined) return;
        if (missing.has(index)) await fetchOne(index, scratch);
      } while (workers > 1 && troubles.length === 0 && honoursRange);
    };
    await Promise.all(
      Array.from({ length: workers }, (_, worker) => work(worker).catch((error) => troubles.push(error))),
    );
    signal.throwIfAborted();
    const trouble = troubles[0];
    if (trouble === undefined) continue;
    if (!(trouble instanceof OriginError)) throw trouble;
    fruitless++;
    urlIndex++;
    const asked = trouble.retryAfterMs ?? 0;
    if (trouble.lasting || fruitless >= options.tries || asked > LONGEST_WAIT_MS) throw trouble;
    await wait(Math.max(asked, backoffMs(options.backoff, fruitless)), signal);
  }
}
