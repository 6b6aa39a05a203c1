import { z } from 'zod';
import { addAssets, listAssets } from '#fleet/assets/assets.ts';
import { purge } from '#fleet/assignments/assignments.ts';
import { HearthError } from '#protocol/errors.ts';
import {
  assetSchema,
  changedSchema,
  createAssetsSchema,
  INGEST_STATES,
  pageOf,
  pageQuerySchema,
  purgeSchema,
} from '#protocol/http-fleet.ts';
import { assetIdSchema, siteIdSchema } from '#protocol/ids.ts';
import { LIMITS } from '#protocol/limits.ts';
import type { ApiContext, ApiScope } from '../context.ts';

const params = z.object({ id: assetIdSchema });
const listQuery = pageQuerySchema.extend({
  siteId: siteIdSchema.optional(),
  state: z.enum(INGEST_STATES).optional(),
});

/** Assets: what is cached, and its ingest. */
export function assetRoutes(api: ApiScope, { db, jobs }: ApiContext): void {
  const tags = ['assets'];
  const one = async (id: string) => {
    const [asset] = (await listAssets(db, { ids: [id], limit: 1 })).items;
    if (!asset) throw new HearthError('not_found', `There is no asset ${id}.`);
    return asset;
  };
  const add = (siteId: string, paths: string[]) =>
    db.transaction(async (tx) => {
      const ids = await addAssets(tx, siteId, paths);
      await jobs.ingest(tx, ids);
      return ids;
    });
  api.get(
    '/assets',
    { schema: { tags, summary: 'Assets', querystring: listQuery, response: { 200: pageOf(assetSchema) } } },
    async (request) => listAssets(db, request.query),
  );
  api.post(
    '/assets',
    {
      schema: {
        tags,
        summary: 'Add assets to a site; each is read from its origin',
        body: createAssetsSchema,
        response: { 202: z.object({ items: z.array(assetSchema) }) },
      },
    },
    async (request, reply) => {
      const ids = await add(request.body.siteId, request.body.paths);
      const { items } = await listAssets(db, { ids, limit: LIMITS.assetsPerRequest });
      return reply.status(202).send({ items });
    },
  );
  api.get(
    '/assets/:id',
    { schema: { tags, summary: 'One asset', params, response: { 200: assetSchema } } },
    async (request) => one(request.params.id),
  );
  api.post(
    '/assets/:id/ingest',
    {
      schema: {
        tags,
        summary: 'Read an asset from its origin again',
        params,
        response: { 202: assetSchema },
      },
    },
    async (request, reply) => {
      const asset = await one(request.params.id);
      await add(asset.siteId, [asset.path]);
      return reply.status(202).send(await one(asset.id));
    },
  );
  api.post(
    '/purge',
    {
      schema: {
        tags,
        summary: 'Take assets off all boxes and serve them from the origin',
        body: purgeSchema,
        response: { 200: changedSchema },
      },
    },
    async (request) => ({ changed: await purge(db, request.body.assets) }),
  );
}
