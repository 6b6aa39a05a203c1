import { z } from 'zod';
import { refuseLocalOrigin } from '#fleet/sites/origin-policy.ts';
import { createSite, listSites } from '#fleet/sites/sites.ts';
import { HearthError } from '#protocol/errors.ts';
import { createSiteSchema, siteSchema } from '#protocol/http-fleet.ts';
import { siteIdSchema } from '#protocol/ids.ts';
import type { ApiContext, ApiScope } from '../context.ts';

/** Sites: hostnames of tenants and their origins. */
export function siteRoutes(api: ApiScope, { db, routerUrl, localOrigins }: ApiContext): void {
  const tags = ['sites'];
  const one = async (id: string) => {
    const [site] = await listSites(db, routerUrl(), id);
    if (!site) throw new HearthError('not_found', `There is no site ${id}.`);
    return site;
  };
  api.get(
    '/sites',
    {
      schema: {
        tags,
        summary: 'Sites',
        response: { 200: z.object({ items: z.array(siteSchema), next: z.null() }) },
      },
    },
    async () => ({ items: await listSites(db, routerUrl()), next: null }),
  );
  api.post(
    '/sites',
    { schema: { tags, summary: 'Register a site', body: createSiteSchema, response: { 201: siteSchema } } },
    async (request, reply) => {
      if (!localOrigins) refuseLocalOrigin(request.body.origin);
      return reply.status(201).send(await one(await createSite(db, request.body)));
    },
  );
  api.get(
    '/sites/:id',
    {
      schema: {
        tags,
        summary: 'One site',
        params: z.object({ id: siteIdSchema }),
        response: { 200: siteSchema },
      },
    },
    async (request) => one(request.params.id),
  );
}
