import { asc, desc, eq, inArray, sql } from 'drizzle-orm';
import type { Queryable } from '#fleet/database/database.ts';
import { boxes } from '#fleet/database/schema.ts';
import { boxUpdates, rolloutEvents, rollouts, rolloutTargets } from '#fleet/releases/tables.ts';
import { HearthError } from '#protocol/errors.ts';
import { LIMITS } from '#protocol/limits.ts';
import type { Rollout, RolloutDetail } from '#protocol/rollout.ts';
import { TARGET_STATES } from '#protocol/rollout.ts';

type RolloutRow = typeof rollouts.$inferSelect;
const LISTED = 50;

/** Rollouts, newest first, each with its waves. */
export async function listRollouts(db: Queryable): Promise<Rollout[]> {
  const rows = await db
    .select()
    .from(rollouts)
    .orderBy(desc(rollouts.createdAt), desc(rollouts.id))
    .limit(LISTED);
  return withWaves(db, rows);
}

/** @throws HearthError `not_found` */
export async function rolloutDetail(db: Queryable, id: string): Promise<RolloutDetail> {
  const [rollout] = await withWaves(db, await db.select().from(rollouts).where(eq(rollouts.id, id)));
  if (!rollout) throw new HearthError('not_found', `There is no rollout ${id}.`);
  const targets = await db
    .select({
      target: rolloutTargets,
      label: boxes.label,
      online: boxes.online,
      report: boxUpdates.report,
    })
    .from(rolloutTargets)
    .innerJoin(boxes, eq(boxes.id, rolloutTargets.boxId))
    .leftJoin(boxUpdates, eq(boxUpdates.boxId, rolloutTargets.boxId))
    .where(eq(rolloutTargets.rolloutId, id))
    .orderBy(
      sql`${rolloutTargets.state} <> 'failed'`,
      asc(rolloutTargets.wave),
      asc(boxes.label),
      asc(boxes.id),
    )
    .limit(LIMITS.pageRows);
  const events = await db
    .select({ event: rolloutEvents, label: boxes.label })
    .from(rolloutEvents)
    .leftJoin(boxes, eq(boxes.id, rolloutEvents.boxId))
    .where(eq(rolloutEvents.rolloutId, id))
    .orderBy(desc(rolloutEvents.id))
    .limit(LIMITS.pageRows);
  return {
    ...rollout,
    targets: targets.map(({ target, label, online, report }) => ({
      boxId: target.boxId,
      label,
      online,
      wave: target.wave,
      state: target.state,
      version: report?.version ?? null,
      architecture: report?.architecture ?? null,
      progress: report?.update?.updateId.startsWith(`${id}-`) ? report.update : null,
      reason:
        target.reasonCode === null ? null : { code: target.reasonCode, message: target.reasonMessage ?? '' },
      changedAt: target.changedAt.toISOString(),
    })),
    events: events.map(({ event, label }) => ({
      at: event.at.toISOString(),
      kind: event.kind,
      boxId: event.boxId,
      boxLabel: label,
      operator: event.operator,
      detail: event.detail,
    })),
  };
}

async function withWaves(db: Queryable, rows: RolloutRow[]): Promise<Rollout[]> {
  const ids = rows.map(({ id }) => id);
  const counted =
    ids.length === 0
      ? []
      : await db
          .select({
            rolloutId: rolloutTargets.rolloutId,
            wave: rolloutTargets.wave,
            state: rolloutTargets.state,
            count: sql<number>`count(*)::int`,
          })
          .from(rolloutTargets)
          .where(inArray(rolloutTargets.rolloutId, ids))
          .groupBy(rolloutTargets.rolloutId, rolloutTargets.wave, rolloutTargets.state);
  return rows.map((row) => ({
    id: row.id,
    version: row.version,
    backTo: row.backTo,
    state: row.state,
    wave: row.wave,
    waveMetAt: row.waveMetAt?.toISOString() ?? null,
    plan: row.plan,
    reason: row.reason,
    createdAt: row.createdAt.toISOString(),
    endedAt: row.endedAt?.toISOString() ?? null,
    waves: row.plan.waves.map((percent, wave) => {
      const of = (state: (typeof TARGET_STATES)[number]) =>
        counted.find((entry) => entry.rolloutId === row.id && entry.wave === wave && entry.state === state)
          ?.count ?? 0;
      const counts = Object.fromEntries(TARGET_STATES.map((state) => [state, of(state)]));
      const boxesInIt = Object.values(counts).reduce((sum, count) => sum + count, 0);
      return { percent, boxes: boxesInIt, counts: counts as Rollout['waves'][number]['counts'] };
    }),
  }));
}
