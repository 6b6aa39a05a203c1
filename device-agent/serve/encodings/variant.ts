import type { AssetEntry } from '#agent/store/catalog.ts';
import { isTextual } from '../content-type.ts';

/** Content codings we make, the better first. */
export const CODINGS = ['br', 'gzip'] as const;
export type Coding = (typeof CODINGS)[number];

/** An object's bytes in another coding, stored beside it. */
export interface Variant {
  readonly coding: Coding;
  /** Of the encoded bytes: says whether they are still what was made. */
  readonly sha256: string;
  readonly sizeBytes: number;
}

/** Smaller than this nothing is won: it fits one packet as it is, bytes. */
const LEAST_BYTES = 1_024;
/** Larger than this it would keep a small board's core busy for minutes, bytes. */
const MOST_BYTES = 16 * 1024 * 1024;

/** True for assets that are negotiated: text of a size worth it, unless the origin forbids it (RFC 9111 5.2.2.6). */
export function mayEncode(asset: Pick<AssetEntry, 'headers' | 'object'>): boolean {
  const { contentType, cacheControl } = asset.headers;
  const { sizeBytes } = asset.object;
  return (
    sizeBytes >= LEAST_BYTES &&
    sizeBytes <= MOST_BYTES &&
    isTextual(contentType) &&
    !/(?:^|[\s,])no-transform(?:$|[\s,])/i.test(cacheControl ?? '')
  );
}

/** Names a variant among open files and copies in memory: no object's SHA-256 looks like it. */
export function keyOf(sha256: string, coding: Coding): string {
  return `${sha256}.${coding}`;
}

/** The other way round; null for an object's own key. */
export function readKey(key: string): { sha256: string; coding: Coding } | null {
  const [sha256 = '', suffix] = key.split('.');
  const coding = CODINGS.find((known) => known === suffix);
  return coding ? { sha256, coding } : null;
}
