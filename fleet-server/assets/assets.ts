import { and, asc, eq, inArray, ne, sql } from 'drizzle-orm';
import type { z } from 'zod';
import type { Database, Queryable } from '#fleet/database/database.ts';
import { notify } from '#fleet/database/listen.ts';
import { assets, placements, sites, spotChallenges } from '#fleet/database/schema.ts';
import { HearthError, isHearthError, messageOf } from '#protocol/errors.ts';
import type { Asset, assetSelectorSchema } from '#protocol/http-fleet.ts';
import { newId } from '#protocol/ids.ts';
import { LIMITS } from '#protocol/limits.ts';
import { clip } from '#protocol/messages.ts';
import { type IngestOptions, ingest } from './ingest.ts';
import { originUrlOf } from './manifest.ts';

export type AssetSelector = z.infer<typeof assetSelectorSchema>;

/**
 * Adds assets to a site, or queues those that are there for a new reading.
 * @returns their ids, to be ingested
 * @throws HearthError `not_found`
 */
export async function addAssets(db: Queryable, siteId: string, paths: string[]): Promise<string[]> {
  const [site] = await db.select({ id: sites.id }).from(sites).where(eq(sites.id, siteId));
  if (!site) throw new HearthError('not_found', `There is no site ${siteId}.`);
  // Sorted: two requests for the same paths must not wait for each other in a circle.
  const unique = [...new Set(paths)].sort();
  const rows = await db
    .insert(assets)
    .values(unique.map((path) => ({ id: newId('asset'), siteId, path, state: 'queued' as const })))
    .onConflictDoUpdate({
      target: [assets.siteId, assets.path],
      // A ready asset is served on as it was until the new reading is done.
      set: {
        state: sql`CASE WHEN ${assets.state} = 'ready' THEN 'ready' ELSE 'queued' END`,
        errorCode: null,
        errorMessage: null,
      },
    })
    .returning({ id: assets.id });
  return rows.map((row) => row.id);
}

/**
 * Ingests one asset and stores the result. Can be repeated; a failure is stored with its reason, and what was
 * known of the asset before stays in force.
 * @returns whether it would make sense to try again soon
 */
export async function ingestAsset(
  db: Database,
  assetId: string,
  options: IngestOptions,
): Promise<{ retry: boolean }> {
  const [row] = await db
    .select({ path: assets.path, origin: sites.origin, state: assets.state, sha256: assets.sha256 })
    .from(assets)
    .innerJoin(sites, eq(sites.id, assets.siteId))
    .where(eq(assets.id, assetId));
  // Purged since it was asked for, or while it is read: that was the later word.
  if (!row || row.state === 'purged') return { retry: false };
  const own = and(eq(assets.id, assetId), ne(assets.state, 'purged'));
  if (row.state !== 'ready') await db.update(assets).set({ state: 'reading' }).where(own);
  try {
    const read = await ingest(originUrlOf(row.origin, row.path), row.path, options);
    await db.transaction(async (tx) => {
      const kept = await tx
        .update(assets)
        .set({
          state: 'ready',
          errorCode: null,
          errorMessage: null,
          sizeBytes: read.sizeBytes,
          sha256: read.sha256,
          chunkSizeBytes: read.chunkSizeBytes,
          chunkHashes: read.chunkHashes,
          contentType: read.headers.contentType,
          cacheControl: read.headers.cacheControl,
          lastModified: read.headers.lastModified,
          ingestedAt: new Date(),
        })
        .where(own)
        .returning({ id: assets.id });
      if (kept.length === 0) return;
      await tx.delete(spotChallenges).where(eq(spotChallenges.assetId, assetId));
      if (read.challenges.length > 0) {
        await tx
          .insert(spotChallenges)
          .values(read.challenges.map((challenge) => ({ assetId, sha256: read.sha256, ...challenge })));
      }
      await notify(tx, 'routes', assetId);
      // Boxes that hold the bytes of an earlier reading are to fetch the new ones.
      if (row.sha256 !== read.sha256) await notify(tx, 'desired');
    });
    return { retry: false };
  } catch (error) {
    if (!isHearthError(error)) throw error;
    // An asset that is served stays so: its bytes on the boxes are right, as of the last reading.
    await db
      .update(assets)
      .set({
        state: sql`CASE WHEN ${assets.state} = 'ready' THEN 'ready' ELSE 'failed' END`,
        errorCode: error.code,
        errorMessage: clip(messageOf(error)),
      })
      .where(own);
    return { retry: error.code !== 'origin_too_large' && !/answered 4/.test(error.message) };
  }
}

/** The ids a selector names. @throws HearthError `not_found`, `payload_too_large` */
export async function selectAssets(
  db: Queryable,
  selector: AssetSelector,
  onlyReady: boolean,
): Promise<string[]> {
  const ready = onlyReady ? eq(assets.state, 'ready') : ne(assets.state, 'purged');
  if ('assetIds' in selector) {
    const ids = [...new Set(selector.assetIds)];
    const found = await db
      .select({ id: assets.id, state: assets.state })
      .from(assets)
      .where(inArray(assets.id, ids));
    for (const id of ids) {
      const asset = found.find((row) => row.id === id);
      if (!asset) throw new HearthError('not_found', `There is no asset ${id}.`);
      if (onlyReady && asset.state !== 'ready') {
        throw new HearthError(
          'conflict',
          `Asset ${id} is ${asset.state}; only a ready asset can be assigned.`,
        );
      }
    }
    return ids;
  }
  const rows = await db
    .select({ id: assets.id })
    .from(assets)
    .where(
      and(eq(assets.siteId, selector.siteId), sql`starts_with(${assets.path}, ${selector.prefix})`, ready),
    )
    .orderBy(asc(assets.path))
    .limit(LIMITS.assetsPerRequest + 1);
  if (rows.length > LIMITS.assetsPerRequest) {
    throw new HearthError(
      'payload_too_large',
      `More than ${LIMITS.assetsPerRequest} assets lie below ${selector.prefix}; choose a longer prefix.`,
    );
  }
  if (rows.length === 0) {
    throw new HearthError(
      'not_found',
      `No ${onlyReady ? 'ready ' : ''}asset of this site lies below ${selector.prefix}.`,
    );
  }
  return rows.map((row) => row.id);
}

/** Lists assets by site and path, with how many boxes should hold each and do. */
export async function listAssets(
  db: Queryable,
  filter: {
    siteId?: string | undefined;
    state?: Asset['state'] | undefined;
    ids?: string[];
    after?: string | undefined;
    limit: number;
  },
): Promise<{ items: Asset[]; next: string | null }> {
  const rows = await db
    .select({
      asset: assets,
      siteHostname: sites.hostname,
      wanted: sql<number>`(SELECT count(*)::int FROM ${placements} WHERE ${placements.assetId} = ${assets.id} AND ${placements.desired} = 'held')`,
      held: sql<number>`(SELECT count(*)::int FROM ${placements} WHERE ${placements.assetId} = ${assets.id}
        AND ${placements.desired} = 'held' AND ${placements.reported} = 'held' AND ${placements.reportedSha256} = ${assets.sha256})`,
    })
    .from(assets)
    .innerJoin(sites, eq(sites.id, assets.siteId))
    .where(
      and(
        filter.siteId ? eq(assets.siteId, filter.siteId) : undefined,
        filter.state ? eq(assets.state, filter.state) : undefined,
        filter.ids ? inArray(assets.id, filter.ids) : undefined,
        filter.after
          ? sql`(${sites.hostname}, ${assets.path}) > (SELECT s.hostname, a.path FROM assets a JOIN sites s ON s.id = a.site_id
              WHERE a.id = ${filter.after})`
          : undefined,
      ),
    )
    .orderBy(asc(sites.hostname), asc(assets.path))
    .limit(filter.limit + 1);
  const items = rows.slice(0, filter.limit).map(
    ({ asset, siteHostname, wanted, held }): Asset => ({
      id: asset.id,
      siteId: asset.siteId,
      siteHostname,
      path: asset.path,
      state: asset.state,
      error: asset.errorCode === null ? null : { code: asset.errorCode, message: asset.errorMessage ?? '' },
      sizeBytes: asset.sizeBytes,
      sha256: asset.sha256,
      chunkSizeBytes: asset.chunkSizeBytes,
      chunks: asset.chunkHashes && asset.chunkHashes.length / 32,
      headers:
        asset.contentType === null
          ? null
          : {
              contentType: asset.contentType,
              cacheControl: asset.cacheControl,
              lastModified: asset.lastModified,
            },
      createdAt: asset.createdAt.toISOString(),
      ingestedAt: asset.ingestedAt?.toISOString() ?? null,
      wanted,
      held,
    }),
  );
  return { items, next: rows.length > filter.limit ? (items.at(-1)?.id ?? null) : null };
}
