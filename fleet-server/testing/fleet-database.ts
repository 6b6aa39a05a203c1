import { randomBytes } from 'node:crypto';
import { pino } from 'pino';
import { type Database, openDatabase } from '#fleet/database/database.ts';
import { migrate } from '#fleet/database/migrate.ts';
import { assets, boxes, sites, tenants } from '#fleet/database/schema.ts';
import { newId } from '#protocol/ids.ts';
import { chunkSizeFor } from '#protocol/limits.ts';
import { testDatabase } from '#test/support/postgres.ts';

export interface FleetDatabase {
  url: string;
  db: Database;
  query(sql: string, values?: unknown[]): Promise<Record<string, unknown>[]>;
  close(): Promise<void>;
}

/** A migrated database of a test's own, on a real Postgres. */
export async function fleetDatabase(): Promise<FleetDatabase> {
  const own = await testDatabase();
  const handle = openDatabase(own.url, pino({ level: 'silent' }));
  await migrate(handle.pool);
  return {
    url: own.url,
    db: handle.db,
    query: async (sql, values) => (await handle.pool.query(sql, values)).rows,
    async close() {
      await handle.close();
      await own.close();
    },
  };
}

/** A box row, as enrolment leaves it. */
export async function addBox(db: Database, over: Partial<typeof boxes.$inferInsert> = {}): Promise<string> {
  const id = newId('box');
  await db
    .insert(boxes)
    .values({ id, label: `Box ${id.slice(-4)}`, keyFingerprint: randomBytes(32), ...over });
  return id;
}

/** A site with its tenant. */
export async function addSite(
  db: Database,
  origin = 'http://origin.test',
): Promise<{ siteId: string; tenantId: string }> {
  const tenantId = newId('tnt');
  const siteId = newId('site');
  await db.insert(tenants).values({ id: tenantId, name: tenantId });
  await db.insert(sites).values({ id: siteId, hostname: `${siteId}.test`, origin, tenantId });
  return { siteId, tenantId };
}

/** A ready asset of random content hashes. */
export async function addAsset(
  db: Database,
  siteId: string,
  path: string,
  sizeBytes = 1000,
): Promise<{ assetId: string; sha256: string }> {
  const assetId = newId('asset');
  const sha256 = randomBytes(32).toString('hex');
  const chunkSizeBytes = chunkSizeFor(sizeBytes);
  await db.insert(assets).values({
    id: assetId,
    siteId,
    path,
    state: 'ready',
    sizeBytes,
    sha256,
    chunkSizeBytes,
    chunkHashes: randomBytes(32 * Math.ceil(sizeBytes / chunkSizeBytes)),
    contentType: 'video/mp4',
  });
  return { assetId, sha256 };
}
