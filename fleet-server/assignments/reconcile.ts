import { and, asc, desc, eq, inArray, isNull, or, sql } from 'drizzle-orm';
import { enqueue, type StoredCommand } from '#fleet/commands/outbox.ts';
import type { Database, Queryable } from '#fleet/database/database.ts';
import { assets, boxes, commands, placements } from '#fleet/database/schema.ts';
import { placementSubject } from './assignments.ts';
import { type PlacementView, plan } from './planner.ts';

/**
 * Carries out the plan for one box: puts commands into its outbox and forgets placements that are gone. Safe to
 * run from several processes and to be killed at any point: what was not done is planned again.
 * @returns how many steps were taken
 */
export async function reconcileBox(db: Database, boxId: string): Promise<number> {
  return db.transaction(async (tx) => {
    // One planner for a box at a time; who comes second finds nothing left to do.
    await tx.execute(sql`SELECT pg_advisory_xact_lock(hashtextextended(${boxId}, 0))`);
    const steps = plan(await viewOf(tx, boxId), Date.now());
    for (const step of steps) {
      if (step.do === 'send') await enqueue(tx, boxId, placementSubject(step.assetId), step.command);
      if (step.do === 'forget') {
        await tx.delete(placements).where(
          and(
            eq(placements.assetId, step.assetId),
            eq(placements.boxId, boxId),
            // It may have been assigned again, or reported, since the plan was made.
            eq(placements.desired, 'absent'),
            or(isNull(placements.reported), inArray(placements.reported, ['deleted', 'expired'])),
          ),
        );
      }
    }
    return steps.filter((step) => step.do !== 'expire').length;
  });
}

/** Boxes with placements that are not as wanted: the ones worth planning for. */
export async function unsettledBoxes(db: Queryable): Promise<string[]> {
  const rows = await db
    .selectDistinct({ boxId: placements.boxId })
    .from(placements)
    .innerJoin(assets, eq(assets.id, placements.assetId))
    .innerJoin(boxes, eq(boxes.id, placements.boxId))
    .where(
      sql`${boxes.revokedAt} IS NULL AND (${placements.desired} = 'absent' OR ${placements.reported} IS DISTINCT FROM 'held'
        OR ${placements.reportedSha256} IS DISTINCT FROM ${assets.sha256})`,
    );
  return rows.map((row) => row.boxId);
}

async function viewOf(tx: Queryable, boxId: string): Promise<PlacementView[]> {
  const rows = await tx
    .select({ placement: placements, sha256: assets.sha256, state: assets.state })
    .from(placements)
    .innerJoin(assets, eq(assets.id, placements.assetId))
    .where(eq(placements.boxId, boxId))
    // As everybody writes: nobody waits in a circle.
    .orderBy(asc(placements.assetId));
  if (rows.length === 0) return [];
  const subjects = rows.map((row) => placementSubject(row.placement.assetId));
  // One array, not a parameter for each: a box may hold more assets than a statement may have parameters.
  const own = and(eq(commands.boxId, boxId), sql`${commands.subject} = ANY(${sql.param(subjects)}::text[])`);
  const open = await tx
    .select({ subject: commands.subject, body: commands.body })
    .from(commands)
    .where(and(own, inArray(commands.state, ['pending', 'sent'])));
  const answered = await tx
    .selectDistinctOn([commands.subject], {
      subject: commands.subject,
      state: commands.state,
      body: commands.body,
      endedAt: commands.endedAt,
    })
    .from(commands)
    .where(and(own, inArray(commands.state, ['done', 'refused'])))
    .orderBy(commands.subject, desc(commands.endedAt));
  const [box] = await tx
    .select({ diskChangedAt: boxes.diskChangedAt })
    .from(boxes)
    .where(eq(boxes.id, boxId));
  const diskChangedAtMs = box?.diskChangedAt?.getTime() ?? 0;
  const openBy = new Map(open.map((row) => [row.subject, row.body as unknown as StoredCommand]));
  const answeredBy = new Map(answered.map((row) => [row.subject, row]));
  return rows.map(({ placement, sha256, state }) => {
    const subject = placementSubject(placement.assetId);
    const body = openBy.get(subject);
    const last = answeredBy.get(subject);
    const lastBody = last?.body as unknown as StoredCommand | undefined;
    const endedAtMs = last?.endedAt?.getTime() ?? null;
    return {
      assetId: placement.assetId,
      desired: placement.desired,
      sha256: state === 'ready' || placement.desired === 'absent' ? sha256 : null,
      expiresAtMs: placement.expiresAt?.getTime() ?? null,
      reported: placement.reported,
      reportedSha256: placement.reportedSha256,
      openCommand: body
        ? {
            type: body.type,
            sha256: sha256Of(body),
            expiresAt: 'expiresAt' in body ? body.expiresAt : null,
          }
        : null,
      // What was refused for the disk's sake is worth asking again once that has changed: as if long ago, but refused
      // all the same, since a box tries by itself only what it accepted.
      refusedAtMs: last?.state === 'refused' ? ((endedAtMs ?? 0) > diskChangedAtMs ? endedAtMs : 0) : null,
      done:
        last?.state === 'done' && lastBody && endedAtMs !== null
          ? { type: lastBody.type, sha256: sha256Of(lastBody), atMs: endedAtMs }
          : null,
    };
  });
}

function sha256Of(body: StoredCommand): string | null {
  return 'sha256' in body ? body.sha256 : null;
}
