import { LIMITS } from '#protocol/limits.ts';
import type { CatalogManifest } from './catalog.ts';

const SHA256 = /^[0-9a-f]{64}$/;
const ASSET_ID = /^asset-[0-9a-hjkmnp-tv-z]{16}$/;
const SITE_ID = /^site-[0-9a-hjkmnp-tv-z]{16}$/;

const text = (value: unknown, most: number): value is string =>
  typeof value === 'string' && value.length <= most;
const textOrNull = (value: unknown, most: number): value is string | null =>
  value === null || text(value, most);

/** What a file on the disk says of an asset, before anybody has looked at it. */
export type Claimed = { [Field in Exclude<keyof CatalogManifest, 'headers'>]: unknown } & {
  headers: { contentType: unknown; cacheControl: unknown; lastModified: unknown };
  expiresAtMs: unknown;
  issuedAtMs: unknown;
};

export interface CatalogRecord {
  manifest: CatalogManifest;
  expiresAtMs: number | null;
  issuedAtMs: number;
}

/**
 * Checks what the catalog keeps of an asset, quickly: a start does it a hundred thousand times. Whether the rest of
 * its manifest is in order is found when that is read.
 * @returns null when it is none that we wrote
 */
export function catalogRecord(claimed: Claimed): CatalogRecord | null {
  const { assetId, siteId, path, sha256, sizeBytes, expiresAtMs, issuedAtMs } = claimed;
  const { contentType, cacheControl, lastModified } = claimed.headers;
  if (!text(assetId, 22) || !ASSET_ID.test(assetId) || !text(siteId, 21) || !SITE_ID.test(siteId))
    return null;
  if (!text(path, LIMITS.pathBytes) || Buffer.byteLength(path) > LIMITS.pathBytes) return null;
  if (!text(contentType, LIMITS.textChars) || !textOrNull(cacheControl, LIMITS.textChars)) return null;
  if (!textOrNull(lastModified, 40) || typeof issuedAtMs !== 'number') return null;
  if (expiresAtMs !== null && typeof expiresAtMs !== 'number') return null;
  if (!text(sha256, 64) || !SHA256.test(sha256)) return null;
  if (typeof sizeBytes !== 'number' || !Number.isSafeInteger(sizeBytes)) return null;
  if (sizeBytes < 0 || sizeBytes > LIMITS.assetSizeBytes) return null;
  const headers = { contentType, cacheControl, lastModified };
  return { manifest: { assetId, siteId, path, headers, sha256, sizeBytes }, expiresAtMs, issuedAtMs };
}
