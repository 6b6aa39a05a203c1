import { sql } from 'drizzle-orm';
import type { z } from 'zod';
import type { Queryable } from '#fleet/database/database.ts';
import type { overviewSchema } from '#protocol/http-fleet.ts';

/** The fleet in a few numbers, read in one statement. */
export async function overview(db: Queryable): Promise<z.infer<typeof overviewSchema>> {
  const result = await db.execute<Record<string, string>>(sql`
    SELECT
      (SELECT count(*) FROM boxes WHERE revoked_at IS NULL) AS boxes,
      (SELECT count(*) FROM boxes WHERE revoked_at IS NULL AND online) AS online,
      (SELECT count(*) FROM assets WHERE state <> 'purged') AS assets,
      (SELECT count(*) FROM assets WHERE state = 'ready') AS ready,
      (SELECT count(*) FROM placements WHERE desired = 'held') AS wanted,
      (SELECT count(*) FROM placements p JOIN assets a ON a.id = p.asset_id
        WHERE p.desired = 'held' AND p.reported = 'held' AND p.reported_sha256 = a.sha256) AS held,
      (SELECT coalesce(sum(count), 0) FROM redirect_counts WHERE target = 'box') AS to_boxes,
      (SELECT coalesce(sum(count), 0) FROM redirect_counts WHERE target = 'origin') AS to_origin,
      (SELECT coalesce(sum(accepted_bytes), 0) FROM delivery_batches) AS delivered,
      (SELECT coalesce(sum(amount), 0) FROM ledger_entries WHERE starts_with(account_id, 'box:')) AS credited`);
  const row = result.rows[0] ?? {};
  const number = (name: string) => Number(row[name] ?? 0);
  return {
    boxes: { online: number('online'), total: number('boxes') },
    assets: { ready: number('ready'), total: number('assets') },
    placements: { held: number('held'), wanted: number('wanted') },
    redirects: { toBoxes: number('to_boxes'), toOrigin: number('to_origin') },
    deliveredBytes: number('delivered'),
    credited: row.credited ?? '0',
  };
}
