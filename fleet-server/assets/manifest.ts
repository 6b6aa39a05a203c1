import { and, eq } from 'drizzle-orm';
import type { Queryable } from '#fleet/database/database.ts';
import { assets, sites } from '#fleet/database/schema.ts';
import type { AssetManifest } from '#protocol/asset.ts';
import { encodePath } from '#protocol/content-url.ts';

/** An asset's manifest, or null while it is not ready. */
export async function manifestOf(db: Queryable, assetId: string): Promise<AssetManifest | null> {
  const [row] = await db
    .select({ asset: assets, origin: sites.origin })
    .from(assets)
    .innerJoin(sites, eq(sites.id, assets.siteId))
    .where(and(eq(assets.id, assetId), eq(assets.state, 'ready')));
  if (!row) return null;
  const { asset } = row;
  if (
    asset.sizeBytes === null ||
    asset.sha256 === null ||
    asset.chunkSizeBytes === null ||
    asset.chunkHashes === null ||
    asset.contentType === null
  ) {
    return null;
  }
  return {
    assetId: asset.id,
    siteId: asset.siteId,
    path: asset.path,
    originUrl: originUrlOf(row.origin, asset.path),
    sizeBytes: asset.sizeBytes,
    sha256: asset.sha256,
    chunkSizeBytes: asset.chunkSizeBytes,
    chunkHashes: asset.chunkHashes.toString('base64url'),
    headers: {
      contentType: asset.contentType,
      cacheControl: asset.cacheControl,
      lastModified: asset.lastModified,
    },
  };
}

/** Where an asset lies at its origin: the origin's base and the path, each segment percent-encoded. */
export function originUrlOf(origin: string, path: string): string {
  return origin + encodePath(path);
}
