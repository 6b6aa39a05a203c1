import { and, asc, eq, inArray, isNull, type SQL, sql } from 'drizzle-orm';
import type { Queryable } from '#fleet/database/database.ts';
import { boxes } from '#fleet/database/schema.ts';
import { boxUpdates } from '#fleet/releases/tables.ts';
import type { UpdateReport } from '#protocol/release.ts';
import type { RolloutPlan } from '#protocol/rollout.ts';

export interface Candidate {
  boxId: string;
  report: UpdateReport;
}

/**
 * Boxes that a rollout is for, by id: those its selector means, which can be updated. One without a root of trust could
 * only refuse, and would count as a failure.
 * @param besides those of this rollout are left out
 */
export async function candidatesOf(
  db: Queryable,
  { selector }: Pick<RolloutPlan, 'selector'>,
  { besides, most = Number.MAX_SAFE_INTEGER }: { besides?: string; most?: number } = {},
): Promise<Candidate[]> {
  const { architectures, boxIds, labels } = selector;
  const wanted: SQL[] = [
    isNull(boxes.revokedAt),
    sql`${boxUpdates.report} ->> 'rootVersion' IS NOT NULL`,
    ...(architectures ? [inArray(sql`${boxUpdates.report} ->> 'architecture'`, architectures)] : []),
    ...(boxIds ? [inArray(boxes.id, boxIds)] : []),
    ...(labels === undefined ? [] : [sql`${boxes.label} LIKE ${likeOf(labels)}`]),
  ];
  if (besides !== undefined) {
    wanted.push(sql`NOT EXISTS
      (SELECT 1 FROM rollout_targets t WHERE t.rollout_id = ${besides} AND t.box_id = ${boxes.id})`);
  }
  return db
    .select({ boxId: boxes.id, report: boxUpdates.report })
    .from(boxUpdates)
    .innerJoin(boxes, eq(boxes.id, boxUpdates.boxId))
    .where(and(...wanted))
    .orderBy(asc(boxes.id))
    .limit(most);
}

/** A pattern in which `*` stands for any characters, as SQL's LIKE has it. */
function likeOf(pattern: string): string {
  return pattern.replace(/[\\%_]/g, '\\$&').replaceAll('*', '%');
}
