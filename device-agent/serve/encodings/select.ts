import type { AssetEntry } from '#agent/store/catalog.ts';
import type { AssetHeaders, Representation } from '../asset-headers.ts';
import type { RequestHead } from '../reply.ts';
import { headerOf } from '../reply.ts';
import { readAcceptEncoding } from './accept-encoding.ts';
import type { Coding, Variant } from './variant.ts';

/** The variants there are. */
export interface Variants {
  find(sha256: string, coding: Coding): Variant | null;
  /** A client would have taken this one. */
  want(sha256: string, coding: Coding): void;
}

/**
 * Chooses the representation that is spoken of (RFC 9110 section 12.1): the best stored coding the client takes.
 * - One whose entity tag the client names in a condition comes first: what it has is compared with that, and a
 *   download is carried on in the coding it was begun in.
 * - A Range without such a tag is taken of the plain bytes: whether a variant is there changes with time, and parts
 *   of two representations must not meet in the hands of a client that does not compare tags.
 * @returns null when there is none the client takes
 */
export function selectRepresentation(
  request: RequestHead,
  asset: AssetEntry,
  heads: AssetHeaders,
  variants: Variants,
): Representation | null {
  const plain = heads.of(asset, null);
  if (!plain.negotiated) return plain;
  const { headers } = request;
  const wanted = readAcceptEncoding(headerOf(headers, 'accept-encoding'));
  const { sha256 } = asset.object;
  const stored: Representation[] = [];
  for (const coding of wanted.codings) {
    const variant = variants.find(sha256, coding);
    if (variant) stored.push(heads.of(asset, variant));
    else if (stored.length === 0) variants.want(sha256, coding);
  }
  if (wanted.identity) stored.push(plain);
  const named = stored.find(({ etag }) => isNamed(headers, etag));
  if (named) return named;
  if (headers.range !== undefined && wanted.identity) return plain;
  return stored[0] ?? null;
}

function isNamed(headers: RequestHead['headers'], etag: string): boolean {
  // A tag is a quoted SHA-256: it stands in no header by chance.
  return ['if-range', 'if-none-match', 'if-match'].some((name) => headerOf(headers, name)?.includes(etag));
}
