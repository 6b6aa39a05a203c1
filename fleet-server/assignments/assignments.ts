import { and, asc, desc, eq, inArray, isNull, lt, type SQL, sql } from 'drizzle-orm';
import type { z } from 'zod';
import { type AssetSelector, selectAssets } from '#fleet/assets/assets.ts';
import { roomOf } from '#fleet/boxes/room.ts';
import { enqueue } from '#fleet/commands/outbox.ts';
import type { Database, Queryable, Transaction } from '#fleet/database/database.ts';
import { notify } from '#fleet/database/listen.ts';
import { assets, assignments, boxes, placements, sites } from '#fleet/database/schema.ts';
import { HearthError } from '#protocol/errors.ts';
import type { Assignment, boxSelectorSchema, Placement } from '#protocol/http-fleet.ts';
import { newId } from '#protocol/ids.ts';
import { LIMITS } from '#protocol/limits.ts';
import { forgetCopies, lowerCopies, wantCopies } from './copies.ts';

type BoxSelector = z.infer<typeof boxSelectorSchema>;

/** The subject of all commands about one asset on one box. */
export const placementSubject = (assetId: string) => `asset:${assetId}`;

/** Any number, the same in every process. */
const WANTED_LOCK = 7_216_000_002;

/**
 * Changes what is wanted, one change at a time in the whole fleet: changes touch many rows each, and would wait for
 * each other in a circle. Reports of boxes, which lock the same rows in one order, go on meanwhile.
 */
export function changeWanted<T>(db: Database, change: (tx: Transaction) => Promise<T>): Promise<T> {
  return db.transaction(async (tx) => {
    await tx.execute(sql`SELECT pg_advisory_xact_lock(${WANTED_LOCK})`);
    return change(tx);
  });
}

/**
 * Assigns assets to boxes: one assignment for each asset, the same boxes for all, so that a playlist and its
 * segments lie together. Assigning again renews: the last TTL given counts, and nothing is sent twice.
 * @returns ids of the assignments
 * @throws HearthError `not_found`, `conflict` (asset not ready, box revoked, too few boxes), `payload_too_large`
 */
export async function assign(
  db: Database,
  request: { assets: AssetSelector; boxes: BoxSelector; ttlMs: number | null; pinned?: boolean },
): Promise<string[]> {
  return changeWanted(db, async (tx) => {
    // In one order, by asset and then by box, as everybody locks placements: so nobody waits in a circle.
    const assetIds = (await selectAssets(tx, request.assets, true)).toSorted();
    const boxIds = (await chooseBoxes(tx, request.boxes, assetIds)).toSorted();
    if (assetIds.length * boxIds.length > LIMITS.placementsPerRequest) {
      throw new HearthError(
        'payload_too_large',
        `${assetIds.length} assets on ${boxIds.length} boxes are more than ${LIMITS.placementsPerRequest} placements; ask for fewer at a time.`,
      );
    }
    const pinned = request.pinned ?? false;
    const expiresAt = request.ttlMs === null ? null : new Date(Date.now() + request.ttlMs);
    const made = assetIds.map((assetId) => ({ id: newId('asg'), assetId, expiresAt }));
    await tx.insert(assignments).values(made);
    if ('count' in request.boxes)
      await wantCopies(tx, assetIds, { copies: request.boxes.count, expiresAt, pinned });
    const sizes = await tx
      .select({ id: assets.id, sha256: assets.sha256 })
      .from(assets)
      .where(inArray(assets.id, assetIds));
    for (const { id: assignmentId, assetId } of made) {
      const before = await tx.select().from(placements).where(eq(placements.assetId, assetId));
      await tx
        .insert(placements)
        .values(
          boxIds.map((boxId) => ({
            assetId,
            boxId,
            assignmentId,
            desired: 'held' as const,
            expiresAt,
            pinned,
          })),
        )
        .onConflictDoUpdate({
          target: [placements.assetId, placements.boxId],
          set: { assignmentId, desired: 'held', expiresAt, pinned, updatedAt: new Date() },
        });
      // A box that has the asset already would not be told of a new TTL by comparing states.
      const sha256 = sizes.find((row) => row.id === assetId)?.sha256;
      for (const old of before) {
        if (!sha256 || !boxIds.includes(old.boxId) || old.reported === null) continue;
        const isSame = old.expiresAt?.getTime() === expiresAt?.getTime() && old.pinned === pinned;
        if (old.desired === 'held' && isSame) continue;
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
  return changeWanted(db, async (tx) => {
    const assetIds = await selectAssets(tx, selector, false);
    const ended = await endPlacements(tx, assetIds, boxIds);
    await lowerCopies(tx, assetIds);
    return ended;
  });
}

/** Takes assets off all boxes and routes to their origin from now on; a new reading brings them back. */
export async function purge(db: Database, selector: AssetSelector): Promise<number> {
  return changeWanted(db, async (tx) => {
    const ids = await selectAssets(tx, selector, false);
    await tx.update(assets).set({ state: 'purged' }).where(inArray(assets.id, ids));
    await endPlacements(tx, ids);
    await forgetCopies(tx, ids);
    return ids.length;
  });
}

/** Makes placements wanted absent, within a transaction. @returns how many changed */
export async function endPlacements(tx: Transaction, assetIds: string[], boxIds?: string[]): Promise<number> {
  if (assetIds.length === 0) return 0;
  const ended = await wantAbsent(
    tx,
    and(inArray(placements.assetId, assetIds), boxIds ? inArray(placements.boxId, boxIds) : undefined),
  );
  await endEmpty(tx, assetIds);
  for (const boxId of new Set(ended.map((row) => row.boxId))) await notify(tx, 'desired', boxId);
  for (const assetId of assetIds) await notify(tx, 'routes', assetId);
  return ended.length;
}

/** Makes what `which` names wanted absent, locking it in the order everybody does. */
async function wantAbsent(tx: Transaction, which: SQL | undefined) {
  const wanted = and(eq(placements.desired, 'held'), which);
  await tx
    .select({ assetId: placements.assetId })
    .from(placements)
    .where(wanted)
    .orderBy(asc(placements.assetId), asc(placements.boxId))
    .for('no key update');
  return tx
    .update(placements)
    .set({ desired: 'absent', updatedAt: new Date() })
    .where(wanted)
    .returning({ assetId: placements.assetId, boxId: placements.boxId });
}

/** Ends the assignments that no wanted placement belongs to any more. */
export async function endEmpty(tx: Queryable, assetIds: string[]): Promise<void> {
  const empty = and(
    inArray(assignments.assetId, assetIds),
    isNull(assignments.endedAt),
    sql`NOT EXISTS (SELECT 1 FROM ${placements} WHERE ${placements.assignmentId} = ${assignments.id}
      AND ${placements.desired} = 'held')`,
  );
  await tx
    .select({ id: assignments.id })
    .from(assignments)
    .where(empty)
    .orderBy(asc(assignments.id))
    .for('no key update');
  await tx.update(assignments).set({ endedAt: new Date() }).where(empty);
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
  const free = (box: typeof boxes.$inferSelect) => roomOf(box.heartbeat);
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
    .limit(LIMITS.placementsListed);
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
  const rows = await db
    .select({
      assignment: assignments,
      path: assets.path,
      host: sites.hostname,
      converged: sql<boolean>`NOT EXISTS (SELECT 1 FROM ${placements} WHERE ${placements.assignmentId} = ${assignments.id}
        AND (${placements.desired} <> 'held' OR ${placements.reported} IS DISTINCT FROM 'held'
          OR ${placements.reportedSha256} IS DISTINCT FROM ${assets.sha256}))`,
    })
    .from(assignments)
    .innerJoin(assets, eq(assets.id, assignments.assetId))
    .innerJoin(sites, eq(sites.id, assets.siteId))
    .where(
      and(
        filter.ids ? inArray(assignments.id, filter.ids) : undefined,
        filter.open ? isNull(assignments.endedAt) : undefined,
        // Compared in the database: its times are finer than a Date, and a whole request's are the same.
        filter.after
          ? sql`(${assignments.createdAt}, ${assignments.id}) < (SELECT c.created_at, c.id FROM assignments c
              WHERE c.id = ${filter.after})`
          : undefined,
      ),
    )
    .orderBy(desc(assignments.createdAt), desc(assignments.id))
    .limit(filter.limit + 1);
  const page = rows.slice(0, filter.limit);
  const all = page.length
    ? await listPlacements(db, { assignmentIds: page.map((row) => row.assignment.id) })
    : [];
  const items = page.map(({ assignment, path, host, converged }): Assignment => {
    const own = all.filter((placement) => placement.assignmentId === assignment.id);
    return {
      id: assignment.id,
      assetId: assignment.assetId,
      path,
      siteHostname: host,
      createdAt: assignment.createdAt.toISOString(),
      expiresAt: assignment.expiresAt?.toISOString() ?? null,
      endedAt: assignment.endedAt?.toISOString() ?? null,
      converged,
      placements: own,
    };
  });
  return { items, next: rows.length > filter.limit ? (items.at(-1)?.id ?? null) : null };
}

/** Turns placements whose TTL ran out into wanted absent. @returns how many */
export async function expirePlacements(db: Database, now = new Date()): Promise<number> {
  const due = lt(placements.expiresAt, now);
  if ((await db.$count(placements, and(eq(placements.desired, 'held'), due))) === 0) return 0;
  return changeWanted(db, async (tx) => {
    const expired = await wantAbsent(tx, due);
    if (expired.length === 0) return 0;
    const assetIds = [...new Set(expired.map((row) => row.assetId))];
    await endEmpty(tx, assetIds);
    await forgetCopies(tx, assetIds, now);
    for (const assetId of assetIds) await notify(tx, 'routes', assetId);
    for (const boxId of new Set(expired.map((row) => row.boxId))) await notify(tx, 'desired', boxId);
    return expired.length;
  });
}
