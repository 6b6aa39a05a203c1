import type { AssetEntry } from '#agent/store/catalog.ts';
import { entityTag } from '#protocol/asset.ts';
import { CORS } from './answers.ts';
import { guardsOf, toldType } from './content-type.ts';
import type { Coding, Variant } from './encodings/variant.ts';
import { keyOf, mayEncode } from './encodings/variant.ts';
import type { HeaderList, Part, Source } from './reply.ts';
import { NO_BYTES } from './reply.ts';

/** What is said of one representation of an asset, made once. */
export interface Representation {
  /** Null: as the origin has it. */
  coding: Coding | null;
  /** Depends on Accept-Encoding. */
  negotiated: boolean;
  source: Source;
  /** All of it as what a body consists of; nothing of an empty one. */
  all: readonly Part[];
  etag: string;
  lastModified: string | null;
  contentType: string;
  /** With 304 too (RFC 9110 section 15.4.5). */
  always: HeaderList;
  /** `always` and the coding: a 206 in parts, whose type is its own. */
  parts: HeaderList;
  /** `parts` and type: a 206 in one piece. */
  part: HeaderList;
  /** `part` and length: a 200. */
  whole: HeaderList;
}

interface Kept {
  asset: Pick<AssetEntry, 'headers'> & { sha256: string };
  variant: Variant | null;
  made: Representation;
}

/** Representations whose headers are kept; beyond, all are made anew. */
const MOST_KEPT = 4096;

/** Response headers by asset and coding: the same arrays for the same representation, bounded. */
export class AssetHeaders {
  readonly #kept = new Map<string, Kept>();

  /** @param variant null: the asset as it is */
  of(asset: AssetEntry, variant: Variant | null): Representation {
    const { headers, object } = asset;
    const key = variant === null ? asset.assetId : `${asset.assetId} ${variant.coding}`;
    const kept = this.#kept.get(key);
    if (
      kept?.asset.sha256 === object.sha256 &&
      kept.variant === variant &&
      sameHeaders(kept.asset.headers, headers)
    ) {
      return kept.made;
    }
    const made = representationOf(asset, variant);
    if (!kept && this.#kept.size >= MOST_KEPT) this.#kept.clear();
    this.#kept.set(key, { asset: { sha256: object.sha256, headers }, variant, made });
    return made;
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

function representationOf(asset: AssetEntry, variant: Variant | null): Representation {
  const { cacheControl, lastModified } = asset.headers;
  const { sha256, sizeBytes: ownBytes } = asset.object;
  const contentType = toldType(asset.headers.contentType);
  const sizeBytes = variant?.sizeBytes ?? ownBytes;
  // The tag of a variant is its own hash: two boxes may well compress the same bytes differently, and a part of
  // one must never be joined to a part of the other (RFC 9110 section 8.8.3.3).
  const etag = entityTag(variant?.sha256 ?? sha256);
  const always = [...CORS, 'ETag', etag, 'Accept-Ranges', 'bytes', ...guardsOf(contentType)];
  if (cacheControl) always.push('Cache-Control', cacheControl);
  if (lastModified) always.push('Last-Modified', lastModified);
  // Whether or not there is a variant yet: there may be one for the next client (RFC 9110 section 12.5.5).
  const negotiated = mayEncode(asset);
  if (negotiated) always.push('Vary', 'Accept-Encoding');
  const parts = variant ? [...always, 'Content-Encoding', variant.coding] : always;
  const part = [...parts, 'Content-Type', contentType];
  return {
    coding: variant?.coding ?? null,
    negotiated,
    source: { key: variant ? keyOf(sha256, variant.coding) : sha256, sha256, sizeBytes },
    all: sizeBytes === 0 ? [] : [{ before: NO_BYTES, start: 0, end: sizeBytes }],
    etag,
    lastModified,
    contentType,
    always,
    parts,
    part,
    whole: [...part, 'Content-Length', String(sizeBytes)],
  };
}
