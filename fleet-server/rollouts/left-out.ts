import { sql } from 'drizzle-orm';
import type { Queryable } from '#fleet/database/database.ts';
import { LIMITS } from '#protocol/limits.ts';
import type { NoUpdates, RolloutList } from '#protocol/rollout.ts';

/** Of boxes joined with what they say of updates; null: rollouts reach it, or it has never been here. */
const WHY = sql`CASE
  WHEN last_seen_at IS NULL OR revoked_at IS NOT NULL THEN NULL
  WHEN report IS NULL THEN 'not_launched'
  WHEN report ->> 'rootVersion' IS NULL THEN 'no_root'
END`;

/** Why rollouts leave a box out. */
export async function whyLeftOut(db: Queryable, boxId: string): Promise<NoUpdates | null> {
  const { rows } = await db.execute<{ why: NoUpdates | null }>(
    sql`SELECT ${WHY} AS why FROM boxes LEFT JOIN box_updates ON box_id = id WHERE id = ${boxId}`,
  );
  return rows[0]?.why ?? null;
}

/** Boxes that no rollout reaches, by the reason. */
export async function leftOut(db: Queryable): Promise<RolloutList['leftOut']> {
  const { rows } = await db.execute<{ why: NoUpdates; id: string; label: string; of: number }>(sql`
    SELECT * FROM (
      SELECT why, id, label, (count(*) OVER (PARTITION BY why))::int AS of,
        row_number() OVER (PARTITION BY why ORDER BY label, id) AS place
      FROM (SELECT id, label, ${WHY} AS why FROM boxes LEFT JOIN box_updates ON box_id = id) every
      WHERE why IS NOT NULL
    ) ranked WHERE place <= ${LIMITS.leftOutBoxes} ORDER BY why, place`);
  const found = new Map<NoUpdates, RolloutList['leftOut'][number]>();
  for (const { why, id, label, of } of rows) {
    const group = found.get(why) ?? { why, count: of, boxes: [] };
    found.set(why, group);
    group.boxes.push({ id, label });
  }
  return [...found.values()];
}
