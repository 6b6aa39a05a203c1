import { and, desc, eq, inArray, isNull, lt, sql } from 'drizzle-orm';
import type { z } from 'zod';
import { type AssetSelector, selectAssets } from '#fleet/assets/assets.ts';
import { enqueue } from '#fleet/commands/outbox.ts';
import type { Database, Queryable, Transaction } from '#fleet/database/database.ts';
import { notify } from '#fleet/database/listen.ts';
import { assets, assignments, boxes, placements, sites } from '#fleet/database/schema.ts';
import { HearthError } from '#protocol/errors.ts';
import type { Assignment, boxSelectorSchema, Placement } from '#protocol/http-fleet.ts';
import { newId } from '#protocol/ids.ts';

type BoxSelector = z.infer<typeof boxSelectorSchema>;

/** The subject of all commands about one asset on one box. */
export const placementSubject = (assetId: string) => `asset:${assetId}`;

/**
 * Assigns assets to boxes: one assignment for each asset, the same boxes for all, so that a playlist and its
 * segments lie together. Assigning again renews: the last TTL given counts, and nothing is sent twice.
 * @returns ids of the assignments
 * @throws HearthError `not_found`, `conflict` (asset not ready, box revoked, too few boxes)
 */
export async function assign(
  db: Database,
  request: { assets: AssetSelector; boxes: BoxSelector; ttlMs: number | null },
): Promise<string[]> {
  return db.transaction(async (tx) => {
    const assetIds = await selectAssets(tx, request.assets, true);
    const boxIds = await chooseBoxes(tx, request.boxes, assetIds);
    const expiresAt = request.ttlMs === null ? null : new Date(Date.now() + request.ttlMs);
    const made = assetIds.map((assetId) => ({ id: newId('asg'), assetId, expiresAt }));
    await tx.insert(assignments).values(made);
    const sizes = await tx
      .select({ id: assets.id, sha256: assets.sha256 })
      .from(assets)
      .where(inArray(assets.id, assetIds));
    for (const { id: assignmentId, assetId } of made) {
      const before = await tx.select().from(placements).where(eq(placements.assetId, assetId));
      await tx
        .insert(placements)
        .values(
          boxIds.map((boxId) => ({ assetId, boxId, assignmentId, desired: 'held' as const, expiresAt })),
        )
        .onConflictDoUpdate({
          target: [placements.assetId, placements.boxId],
          set: { assignmentId, desired: 'held', expiresAt, updatedAt: new Date() },
        });
      // A box that has the asset already would not be told of a new TTL by comparing states.
      const sha256 = sizes.find((row) => row.id === assetId)?.sha256;
      for (const old of before) {
        if (!sha256 || !boxIds.includes(old.boxId) || old.reported === null) continue;
        if (old.desired === 'held' && old.expiresAt?.getTime() === expiresAt?.getTime()) continue;
        await enqueue(tx, old.boxId, placementSubject(assetId), {
          type: 'cache',
          assetId,
          sha256,
          expiresAt: expiresAt?.toISOString() ?? null,
        });
      }
      await notify(tx, 'routes', assetId);
    }
    await endEmpty(tx, assetIds);
    for (const boxId of boxIds) await notify(tx, 'desired', boxId);
    return made.map((row) => row.id);
  });
}

/** Ends placements of assets, on all boxes or some: desired becomes absent. @returns how many changed */
export async function unassign(db: Database, selector: AssetSelector, boxIds?: string[]): Promise<number> {
  return db.transaction(async (tx) => endPlacements(tx, await selectAssets(tx, selector, false), boxIds));
}

/** Takes assets off all boxes and routes to their origin from now on; a new reading brings them back. */
export async function purge(db: Database, selector: AssetSelector): Promise<number> {
  return db.transaction(async (tx) => {
    const ids = await selectAssets(tx, selector, false);
    await tx.update(assets).set({ state: 'purged' }).where(inArray(assets.id, ids));
    await endPlacements(tx, ids);
    return ids.length;
  });
}

/** Makes placements wanted absent, within a transaction. @returns how many changed */
export async function endPlacements(tx: Transaction, assetIds: string[], boxIds?: string[]): Promise<number> {
  if (assetIds.length === 0) return 0;
  const ended = await tx
    .update(placements)
    .set({ desired: 'absent', updatedAt: new Date() })
    .where(
      and(
        inArray(placements.assetId, assetIds),
        eq(placements.desired, 'held'),
        boxIds ? inArray(placements.boxId, boxIds) : undefined,
      ),
    )
    .returning({ boxId: placements.boxId });
  await endEmpty(tx, assetIds);
  for (const boxId of new Set(ended.map((row) => row.boxId))) await notify(tx, 'desired', boxId);
  for (const assetId of assetIds) await notify(tx, 'routes', assetId);
  return ended.length;
}

/** Ends the assignments that no wanted placement belongs to any more. */
export async function endEmpty(tx: Queryable, assetIds: string[]): Promise<void> {
  await tx
    .update(assignments)
    .set({ endedAt: new Date() })
    .where(
      and(
        inArray(assignments.assetId, assetIds),
        isNull(assignments.endedAt),
        sql`NOT EXISTS (SELECT 1 FROM ${placements} WHERE ${placements.assignmentId} = ${assignments.id}
          AND ${placements.desired} = 'held')`,
      ),
    );
}

/**
 * The boxes a selector names; by count: online boxes with a usable disk and room for all of it, those that hold
 * most of it already first, then those with most room.
 */
async function chooseBoxes(tx: Queryable, selector: BoxSelector, assetIds: string[]): Promise<string[]> {
  if ('boxIds' in selector) {
    const ids = [...new Set(selector.boxIds)];
    const rows = await tx.select().from(boxes).where(inArray(boxes.id, ids));
    for (const id of ids) {
      const box = rows.find((row) => row.id === id);
      if (!box) throw new HearthError('not_found', `There is no box ${id}.`);
      if (box.revokedAt) throw new HearthError('conflict', `Box ${box.label} (${id}) is revoked.`);
    }
    return ids;
  }
  const [need] = await tx
    .select({ bytes: sql<string>`coalesce(sum(${assets.sizeBytes}), 0)` })
    .from(assets)
    .where(inArray(assets.id, assetIds));
  const candidates = await tx
    .select({ box: boxes, wanted: sql<number>`count(${placements.assetId})::int` })
    .from(boxes)
    .leftJoin(
      placements,
      and(
        eq(placements.boxId, boxes.id),
        eq(placements.desired, 'held'),
        inArray(placements.assetId, assetIds),
      ),
    )
    .where(and(eq(boxes.online, true), isNull(boxes.revokedAt)))
    .groupBy(boxes.id);
  const free = (box: typeof boxes.$inferSelect) => box.heartbeat?.store.freeBytes ?? 0;
  const usable = candidates
    .filter(({ box, wanted }) => {
      const state = box.heartbeat?.store.state;
      return (state === 'ok' || state === 'slow') && (wanted > 0 || free(box) > Number(need?.bytes ?? 0));
    })
    .sort((a, b) => b.wanted - a.wanted || free(b.box) - free(a.box) || (a.box.id < b.box.id ? -1 : 1));
  if (usable.length < selector.count) {
    throw new HearthError(
      'conflict',
      `${selector.count} boxes are asked for; ${usable.length} are online with a working disk and room for ${need?.bytes} bytes.`,
    );
  }
  return usable.slice(0, selector.count).map(({ box }) => box.id);
}

/** Placements with their names, of a box or of assignments, by path. */
export async function listPlacements(
  db: Queryable,
  filter: { boxId?: string; assignmentIds?: string[] },
): Promise<Placement[]> {
  const rows = await db
    .select({
      placement: placements,
      path: assets.path,
      size: assets.sizeBytes,
      host: sites.hostname,
      label: boxes.label,
    })
    .from(placements)
    .innerJoin(assets, eq(assets.id, placements.assetId))
    .innerJoin(sites, eq(sites.id, assets.siteId))
    .innerJoin(boxes, eq(boxes.id, placements.boxId))
    .where(
      and(
        filter.boxId ? eq(placements.boxId, filter.boxId) : undefined,
        filter.assignmentIds ? inArray(placements.assignmentId, filter.assignmentIds) : undefined,
      ),
    )
    .orderBy(assets.path, boxes.label)
    .limit(10_000);
  return rows.map(({ placement, path, size, host, label }) => ({
    assignmentId: placement.assignmentId,
    assetId: placement.assetId,
    boxId: placement.boxId,
    boxLabel: label,
    path,
    siteHostname: host,
    sizeBytes: size ?? 0,
    desired: placement.desired,
    reported: placement.reported,
    bytesDone: placement.bytesDone,
    reason:
      placement.reasonCode === null
        ? null
        : { code: placement.reasonCode, message: placement.reasonMessage ?? '' },
    expiresAt: placement.expiresAt?.toISOString() ?? null,
    updatedAt: placement.updatedAt.toISOString(),
  }));
}

/** Assignments with their placements, newest first. */
export async function listAssignments(
  db: Queryable,
  filter: { ids?: string[]; open?: boolean; after?: string | undefined; limit: number },
): Promise<{ items: Assignment[]; next: string | null }> {
  const [cursor] = filter.after
    ? await db.select({ at: assignments.createdAt }).from(assignments).where(eq(assignments.id, filter.after))
    : [];
  const rows = await db
    .select({ assignment: assignments, path: assets.path, sha256: assets.sha256, host: sites.hostname })
    .from(assignments)
    .innerJoin(assets, eq(assets.id, assignments.assetId))
    .innerJoin(sites, eq(sites.id, assets.siteId))
    .where(
      and(
        filter.ids ? inArray(assignments.id, filter.ids) : undefined,
        filter.open ? isNull(assignments.endedAt) : undefined,
        cursor && filter.after
          ? sql`(${assignments.createdAt}, ${assignments.id}) < (${cursor.at.toISOString()}, ${filter.after})`
          : undefined,
      ),
    )
    .orderBy(desc(assignments.createdAt), desc(assignments.id))
    .limit(filter.limit + 1);
  const page = rows.slice(0, filter.limit);
  const all = page.length
    ? await listPlacements(db, { assignmentIds: page.map((row) => row.assignment.id) })
    : [];
  const items = page.map(({ assignment, path, host }): Assignment => {
    const own = all.filter((placement) => placement.assignmentId === assignment.id);
    return {
      id: assignment.id,
      assetId: assignment.assetId,
      path,
      siteHostname: host,
      createdAt: assignment.createdAt.toISOString(),
      expiresAt: assignment.expiresAt?.toISOString() ?? null,
      endedAt: assignment.endedAt?.toISOString() ?? null,
      converged: own.every((placement) => placement.desired === 'held' && placement.reported === 'held'),
      placements: own,
    };
  });
  return { items, next: rows.length > filter.limit ? (items.at(-1)?.id ?? null) : null };
}

/** Turns placements whose TTL ran out into wanted absent. @returns how many */
export async function expirePlacements(db: Database, now = new Date()): Promise<number> {
  return db.transaction(async (tx) => {
    const expired = await tx
      .update(placements)
      .set({ desired: 'absent', updatedAt: now })
      .where(and(eq(placements.desired, 'held'), lt(placements.expiresAt, now)))
      .returning({ assetId: placements.assetId, boxId: placements.boxId });
    if (expired.length === 0) return 0;
    const assetIds = [...new Set(expired.map((row) => row.assetId))];
    await endEmpty(tx, assetIds);
    for (const assetId of assetIds) await notify(tx, 'routes', assetId);
    for (const boxId of new Set(expired.map((row) => row.boxId))) await notify(tx, 'desired', boxId);
    return expired.length;
  });
}
