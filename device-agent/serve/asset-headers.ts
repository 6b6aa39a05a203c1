import type { AssetEntry } from '#agent/store/catalog.ts';
import { entityTag } from '#protocol/asset.ts';
import { CORS } from './answers.ts';
import type { HeaderList } from './reply.ts';

/** What is said of one asset, made once. */
export interface AssetHead {
  etag: string;
  lastModified: string | null;
  /** With 304 too (RFC 9110 section 15.4.5). */
  always: HeaderList;
  /** `always`, type and length: a 200. */
  whole: HeaderList;
  /** `always` and type: a 206. */
  part: HeaderList;
}

interface Kept {
  sha256: string;
  headers: AssetEntry['headers'];
  head: AssetHead;
}

/** Assets whose head is kept; beyond, all are made anew. */
const MOST_KEPT = 4096;

/** Response headers by asset: the same arrays for the same asset, bounded. */
export class AssetHeaders {
  readonly #kept = new Map<string, Kept>();

  of(asset: AssetEntry): AssetHead {
    const { headers } = asset;
    const { sha256 } = asset.object;
    const kept = this.#kept.get(asset.assetId);
    if (kept?.sha256 === sha256 && sameHeaders(kept.headers, headers)) return kept.head;
    const head = makeHead(asset);
    if (!kept && this.#kept.size >= MOST_KEPT) this.#kept.clear();
    this.#kept.set(asset.assetId, { sha256, headers, head });
    return head;
  }
}

function sameHeaders(a: AssetEntry['headers'], b: AssetEntry['headers']): boolean {
  return (
    a === b ||
    (a.contentType === b.contentType &&
      a.cacheControl === b.cacheControl &&
      a.lastModified === b.lastModified)
  );
}

function makeHead(asset: AssetEntry): AssetHead {
  const { contentType, cacheControl, lastModified } = asset.headers;
  const etag = entityTag(asset.object.sha256);
  const always = [...CORS, 'ETag', etag, 'Accept-Ranges', 'bytes'];
  if (cacheControl) always.push('Cache-Control', cacheControl);
  if (lastModified) always.push('Last-Modified', lastModified);
  const part = [...always, 'Content-Type', contentType];
  return {
    etag,
    lastModified,
    always,
    part,
    whole: [...part, 'Content-Length', String(asset.object.sizeBytes)],
  };
}
