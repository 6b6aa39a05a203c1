import { asc, eq, sql } from 'drizzle-orm';
import type { z } from 'zod';
import type { Database, Queryable } from '#fleet/database/database.ts';
import { notify } from '#fleet/database/listen.ts';
import { assets, deliveryLines, sites, tenants } from '#fleet/database/schema.ts';
import { HearthError } from '#protocol/errors.ts';
import type { createSiteSchema, Site } from '#protocol/http-fleet.ts';
import { newId } from '#protocol/ids.ts';

/**
 * Registers a site, and its tenant where that is new.
 * @returns the site's id; @throws HearthError `conflict` when the hostname is taken
 */
export async function createSite(db: Database, request: z.infer<typeof createSiteSchema>): Promise<string> {
  return db.transaction(async (tx) => {
    const name = request.tenantName ?? request.hostname;
    await tx
      .insert(tenants)
      .values({ id: newId('tnt'), name })
      .onConflictDoNothing();
    const [tenant] = await tx.select().from(tenants).where(eq(tenants.name, name));
    if (!tenant) throw new Error('a row just written is missing');
    const [site] = await tx
      .insert(sites)
      .values({ id: newId('site'), hostname: request.hostname, origin: request.origin, tenantId: tenant.id })
      .onConflictDoNothing({ target: sites.hostname })
      .returning({ id: sites.id });
    if (!site) throw new HearthError('conflict', `A site for ${request.hostname} is registered already.`);
    await notify(tx, 'boxes');
    return site.id;
  });
}

/** Sites by hostname, with what was delivered and charged. `routerUrl` is the router's public base. */
export async function listSites(db: Queryable, routerUrl: string, id?: string): Promise<Site[]> {
  const rows = await db
    .select({
      site: sites,
      tenantName: tenants.name,
      assets: sql<number>`(SELECT count(*)::int FROM ${assets} WHERE ${assets.siteId} = ${sites.id} AND ${assets.state} <> 'purged')`,
      delivered: sql<string>`(SELECT coalesce(sum(${deliveryLines.acceptedBytes}), 0) FROM ${deliveryLines} WHERE ${deliveryLines.siteId} = ${sites.id})`,
      charged: sql<string>`(SELECT coalesce(sum(${deliveryLines.charged}), 0) FROM ${deliveryLines} WHERE ${deliveryLines.siteId} = ${sites.id})`,
    })
    .from(sites)
    .innerJoin(tenants, eq(tenants.id, sites.tenantId))
    .where(id ? eq(sites.id, id) : undefined)
    .orderBy(asc(sites.hostname));
  return rows.map(({ site, tenantName, assets: count, delivered, charged }) => {
    const url = new URL(routerUrl);
    url.hostname = site.hostname;
    return {
      id: site.id,
      hostname: site.hostname,
      origin: site.origin,
      tenantId: site.tenantId,
      tenantName,
      createdAt: site.createdAt.toISOString(),
      url: url.toString(),
      assets: count,
      deliveredBytes: Number(delivered),
      charged,
    };
  });
}
