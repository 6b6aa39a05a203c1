import type { PartialObject } from '#agent/store/object-files.ts';
import type { ObjectManifest } from '#agent/store/store.ts';
import type { Backoff } from '#agent/time/backoff.ts';
import { backoffMs, wait } from '#agent/time/backoff.ts';
import { chunkSpan } from '#protocol/asset.ts';
import { receive, SCRATCH_BYTES } from './chunker.ts';
import type { Claim } from './claims.ts';
import { Claims } from './claims.ts';
import type { OriginClient, Trust } from './origin.ts';
import { OriginError } from './origin-error.ts';
import type { PeerSource, SourceBook } from './source-book.ts';

export interface DownloadOptions {
  /** Chunks asked of the origin at once. */
  parallel: number;
  /** Between quick tries. */
  backoff: Backoff;
  /** Tries without one good chunk before a source counts as failed. */
  tries: number;
  /** Another box that sends nothing for this long is left: there are others, ms; default: 8 s. */
  peerStallMs?: number;
}

export const DOWNLOAD_DEFAULTS: DownloadOptions = {
  parallel: 4,
  backoff: { baseMs: 500, capMs: 15_000 },
  tries: 5,
};

/** A Retry-After longer than this is waited for as a failed download, so that others get the slot. */
const LONGEST_WAIT_MS = 15_000;
/** Other boxes asked for one object at once. */
const MOST_PEERS = 4;
/** What the origin is asked for at once while other boxes help. */
const ORIGIN_BESIDE_PEERS = 2;
/** Boxes of this network are asked so much before those outside and the origin: a small object is then had, ms. */
const LAN_LEAD_MS = 250;
const PEER_STALL_MS = 8_000;
const ORIGIN = 'origin';

export interface DownloadTarget {
  manifest: ObjectManifest;
  partial: PartialObject;
  /** Indexes to fetch; empty when the download returns. */
  missing: Set<number>;
}

export interface DownloadSources {
  client: OriginClient;
  /** Other boxes that hold the object, as far as is known. */
  peers: readonly PeerSource[];
  book: SourceBook;
}

/**
 * Fetches the missing chunks of one object from its origin and from other boxes at once; each takes the next chunk
 * when it has done one, so that slow ones get fewer. A box that sends wrong bytes is left at once; the origin has
 * its own patience, and one that ignores Range is read through once, by one connection. Ends when all is there, or
 * no source is left.
 * @param onGood called for each chunk once it is safe
 * @throws OriginError the last trouble, the origin's first; what is no source's fault; the signal's reason when aborted
 */
export async function download(
  target: DownloadTarget,
  sources: DownloadSources,
  options: DownloadOptions,
  signal: AbortSignal,
  onGood: (index: number) => void,
): Promise<void> {
  const fatal = new AbortController();
  const all = AbortSignal.any([signal, fatal.signal]);
  const run = new Run(target, sources, options, all, onGood);
  const peers = sources.book.choose(sources.peers, MOST_PEERS);
  const local = peers.filter((peer) => peer.lan);
  const leadMs = local.length > 0 ? LAN_LEAD_MS : 0;
  const lanes = [
    ...peers.map((peer) => run.peer(peer, peer.lan ? 0 : leadMs)),
    // A second request under way keeps a box next door busy between two chunks.
    ...(local.length === 1 && local[0] ? [run.peer(local[0], 0)] : []),
  ];
  const origin = run.origin(leadMs, peers.length > 0 ? ORIGIN_BESIDE_PEERS : options.parallel);
  const troubles = await Promise.all(
    [origin, ...lanes].map((lane) =>
      lane.catch((error: unknown) => {
        // A source's fault is its own; anything else (the disk) is everybody's.
        if (!(error instanceof OriginError)) fatal.abort(error);
        return error;
      }),
    ),
  );
  signal.throwIfAborted();
  fatal.signal.throwIfAborted();
  if (target.missing.size > 0) throw troubles.find((trouble) => trouble !== undefined);
}

/** One download under way. */
class Run {
  readonly #target: DownloadTarget;
  readonly #sources: DownloadSources;
  readonly #options: DownloadOptions;
  readonly #signal: AbortSignal;
  readonly #onGood: (index: number) => void;
  readonly #claims: Claims;
  readonly #filling = new Set<number>();
  readonly #scratches: Buffer[] = [];

  constructor(
    target: DownloadTarget,
    sources: DownloadSources,
    options: DownloadOptions,
    signal: AbortSignal,
    onGood: (index: number) => void,
  ) {
    this.#target = target;
    this.#sources = sources;
    this.#options = options;
    this.#signal = signal;
    this.#onGood = onGood;
    this.#claims = new Claims(target.missing, () => performance.now());
  }

  /** Fetches from another box until nothing is missing or it has failed too often. @throws its last trouble */
  async peer(peer: PeerSource, leadMs: number): Promise<void> {
    const { book } = this.#sources;
    const { backoff } = this.#options;
    await wait(leadMs, this.#signal);
    let failures = 0;
    for (;;) {
      if (book.shuns(peer.boxId) && failures === 0) return;
      const claim = await this.#claims.next(peer.boxId, this.#expectedMs(peer.boxId), this.#signal);
      if (!claim) return;
      try {
        const bytes = await this.#fetch(claim, peer.url, {
          redirects: false,
          local: peer.lan,
          stallMs: this.#options.peerStallMs ?? PEER_STALL_MS,
        });
        book.good(peer.boxId, bytes, performance.now() - claim.sinceMs);
        failures = 0;
      } catch (error) {
        this.#claims.release(claim);
        this.#signal.throwIfAborted();
        if (claim.abort.signal.aborted) {
          // Another source was faster, though it began later.
          if (this.#target.missing.size > 0 && ++failures >= 2) return book.failed(peer.boxId);
          continue;
        }
        if (!(error instanceof OriginError)) throw error;
        if (error.code === 'chunk_mismatch' || error.code === 'origin_changed') book.lied(peer.boxId);
        const asked = error.retryAfterMs ?? 0;
        if (error.lasting || book.shuns(peer.boxId) || ++failures >= 3 || asked > LONGEST_WAIT_MS) {
          if (error.code !== 'unavailable') book.failed(peer.boxId);
          throw error;
        }
        await wait(Math.max(asked, backoffMs(backoff, failures)), this.#signal);
      } finally {
        this.#claims.release(claim);
      }
    }
  }

  /** Fetches from the origin until nothing is missing or trying on is no use. @throws its last trouble */
  async origin(leadMs: number, parallel: number): Promise<void> {
    const { manifest, missing } = this.#target;
    const { tries, backoff } = this.#options;
    let fruitless = 0;
    let urlIndex = 0;
    let honoursRange = false;
    await wait(leadMs, this.#signal);
    while (missing.size > 0) {
      this.#signal.throwIfAborted();
      let trouble: unknown;
      // The first answer tells whether the origin honours Range; only then is it worth asking several times.
      const workers = honoursRange ? Math.min(parallel, missing.size) : 1;
      const url = manifest.originUrls[urlIndex % manifest.originUrls.length] ?? '';
      const work = async () => {
        do {
          const claim = await this.#claims.next(ORIGIN, this.#expectedMs(ORIGIN), this.#signal);
          if (!claim) return;
          try {
            await this.#fetch(claim, url, undefined, () => {
              fruitless = 0;
            });
          } catch (error) {
            if (!claim.abort.signal.aborted) throw error;
          } finally {
            this.#claims.release(claim);
          }
          honoursRange = !claim.whole;
        } while (workers > 1 && trouble === undefined && honoursRange);
      };
      await Promise.all(
        Array.from({ length: workers }, () =>
          work().catch((error: unknown) => {
            trouble ??= error;
          }),
        ),
      );
      this.#signal.throwIfAborted();
      if (trouble === undefined) continue;
      if (!(trouble instanceof OriginError)) throw trouble;
      fruitless++;
      urlIndex++;
      const asked = trouble.retryAfterMs ?? 0;
      if (trouble.lasting || fruitless >= tries || asked > LONGEST_WAIT_MS) throw trouble;
      await wait(Math.max(asked, backoffMs(backoff, fruitless)), this.#signal);
    }
  }

  /** @returns the chunk's bytes */
  async #fetch(claim: Claim, url: string, trust?: Trust, onGood?: () => void): Promise<number> {
    const { manifest, missing } = this.#target;
    const signal = AbortSignal.any([this.#signal, claim.abort.signal]);
    const scratch =
      this.#scratches.pop() ?? Buffer.allocUnsafe(Math.min(SCRATCH_BYTES, manifest.chunkSizeBytes));
    try {
      const span = chunkSpan(manifest, claim.index);
      const asked = { ...span, sizeBytes: manifest.sizeBytes };
      const answer = await this.#sources.client.ask(url, asked, signal, trust);
      claim.whole = answer.isWhole && manifest.sizeBytes > span.length;
      await receive(answer.body, answer, { ...this.#target, filling: this.#filling, scratch }, (index) => {
        onGood?.();
        this.#onGood(index);
        this.#claims.won(index, claim);
      });
      return span.length;
    } catch (error) {
      // The rest of a whole body that nobody needs any more.
      if (missing.size === 0 && claim.abort.signal.aborted) return 0;
      throw error;
    } finally {
      this.#scratches.push(scratch);
    }
  }

  #expectedMs(key: string): number | null {
    return this.#sources.book.expectedMs(key, this.#target.manifest.chunkSizeBytes);
  }
}
