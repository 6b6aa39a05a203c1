import * as z from 'zod';
import { assetIdSchema, siteIdSchema } from './ids.ts';
import { chunkCount, chunkSizeFor, LIMITS } from './limits.ts';

export const sha256Schema = z.string().regex(/^[0-9a-f]{64}$/, 'must be a SHA-256 in lower-case hex');

/** UTC, ISO 8601, as `Date.prototype.toISOString` writes it. */
export const timeSchema = z.iso.datetime();

/**
 * An asset's path below its site: starts with "/", decoded, no empty, "." or ".." segment, no control
 * character, backslash, query or fragment. One spelling for one asset: paths are compared byte by byte.
 */
export const assetPathSchema = z
  .string()
  .min(2)
  .refine((path) => Buffer.byteLength(path) <= LIMITS.pathBytes, `at most ${LIMITS.pathBytes} bytes`)
  .refine((path) => path.startsWith('/'), 'must start with /')
  .refine(
    (path) =>
      path
        .slice(1)
        .split('/')
        .every((segment) => segment !== '' && segment !== '.' && segment !== '..'),
    'must not have an empty, "." or ".." segment',
  )
  // biome-ignore lint/suspicious/noControlCharactersInRegex: refusing them is the point
  .refine((path) => !/[\u0000-\u001f\u007f\\?#]/.test(path), 'must not hold control characters, \\, ? or #')
  .refine((path) => path.isWellFormed(), 'must be well-formed Unicode');

/** A path prefix that ends with "/": a directory, or the whole site. */
export const pathPrefixSchema = z.union([
  z.literal('/'),
  z
    .string()
    .refine(
      (prefix) => prefix.endsWith('/') && assetPathSchema.safeParse(`${prefix}x`).success,
      'must start and end with / and be a plain path',
    ),
]);

/** The SHA-256 of each chunk, 32 bytes each, concatenated and written as base64url without padding. */
export const chunkHashesSchema = z
  .string()
  .regex(/^[A-Za-z0-9_-]*$/)
  .max(Math.ceil((LIMITS.chunksPerAsset * 32 * 4) / 3));

/** Response headers kept from the origin at ingest and repeated by every box (RFC 9110). */
export const contentHeadersSchema = z.object({
  contentType: z
    .string()
    .max(LIMITS.textChars)
    .regex(/^[\x20-\x7e]+$/),
  cacheControl: z
    .string()
    .max(LIMITS.textChars)
    .regex(/^[\x20-\x7e]*$/)
    .nullable(),
  lastModified: z
    .string()
    .max(40)
    .regex(/^[\x20-\x7e]*$/)
    .nullable(),
});
export type ContentHeaders = z.infer<typeof contentHeadersSchema>;

/** Everything a box needs to fetch, verify and serve one asset. */
export const assetManifestSchema = z
  .object({
    assetId: assetIdSchema,
    siteId: siteIdSchema,
    path: assetPathSchema,
    originUrl: z.url({ protocol: /^https?$/ }).max(4096),
    sizeBytes: z.int().min(0).max(LIMITS.assetSizeBytes),
    sha256: sha256Schema,
    chunkSizeBytes: z.int().min(LIMITS.chunkSizeBytesMin),
    chunkHashes: chunkHashesSchema,
    headers: contentHeadersSchema,
  })
  .refine(
    (asset) => asset.chunkSizeBytes === chunkSizeFor(asset.sizeBytes),
    'chunk size does not fit the size',
  )
  .refine(
    (asset) =>
      Buffer.from(asset.chunkHashes, 'base64url').length ===
      32 * chunkCount(asset.sizeBytes, asset.chunkSizeBytes),
    'one hash for each chunk',
  );
export type AssetManifest = z.infer<typeof assetManifestSchema>;

/** The hash of chunk `index`, 32 bytes. */
export function chunkHash(asset: Pick<AssetManifest, 'chunkHashes'>, index: number): Buffer {
  return Buffer.from(asset.chunkHashes, 'base64url').subarray(index * 32, index * 32 + 32);
}

/** Where chunk `index` lies in the asset: first byte and length; the last chunk may be shorter. */
export function chunkSpan(
  asset: Pick<AssetManifest, 'sizeBytes' | 'chunkSizeBytes'>,
  index: number,
): { start: number; length: number } {
  const start = index * asset.chunkSizeBytes;
  return { start, length: Math.min(asset.chunkSizeBytes, asset.sizeBytes - start) };
}

/** The strong entity tag every box and the router give an asset (RFC 9110 section 8.8.3). */
export function entityTag(sha256: string): string {
  return `"${sha256}"`;
}
