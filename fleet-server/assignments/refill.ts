import { and, eq, inArray, isNull, sql } from 'drizzle-orm';
import { roomOf } from '#fleet/boxes/room.ts';
import type { Database, Transaction } from '#fleet/database/database.ts';
import { notify } from '#fleet/database/listen.ts';
import { assignments, boxes, lostBoxes, placements, wantedCopies } from '#fleet/database/schema.ts';
import { newId } from '#protocol/ids.ts';
import { changeWanted } from './assignments.ts';
import { forgetCopies, lookAtCopies } from './copies.ts';

/** Assets looked at in one transaction. */
const AT_ONCE = 200;
/** Where there is no room for a copy it is looked for again after this, ms. */
const AGAIN_MS = 15_000;
/** What a box has put out is not given back to it for so long, ms: as long as its uses count half. */
const EVICTED_MS = 7 * 86_400_000;
/** What a box holds that has been away so long counts as no copy, ms. */
const LOST_MS = 24 * 3_600_000;

interface Short {
  assetId: string;
  sizeBytes: number;
  expiresAt: Date | null;
  pinned: boolean;
  missing: number;
}

interface Room {
  boxId: string;
  freeBytes: number;
}

/**
 * Gives assets of which fewer copies are left than are wanted (a box put one out, was revoked, is lost) to other
 * boxes that are online and have room: to those with most room first, never to one that has put it out lately. What
 * finds no room is looked at again.
 * @returns how many copies were assigned
 */
export async function refillCopies(db: Database, now = new Date()): Promise<number> {
  const due = sql`${wantedCopies.lookAt} <= ${now.toISOString()}::timestamptz`;
  if ((await db.select({ id: wantedCopies.assetId }).from(wantedCopies).where(due).limit(1)).length === 0)
    return 0;
  return changeWanted(db, async (tx) => {
    const looked = await tx
      .select({ assetId: wantedCopies.assetId })
      .from(wantedCopies)
      .where(due)
      .orderBy(wantedCopies.lookAt, wantedCopies.assetId)
      .limit(AT_ONCE);
    const assetIds = looked.map((row) => row.assetId).toSorted();
    const short = await shortOf(tx, assetIds, now);
    const given =
      short.length > 0 ? choose(short, await roomsFor(tx), await barredFrom(tx, assetIds, now)) : [];
    await place(tx, given);
    const again = short.filter((one) => given.filter((to) => to.asset === one).length < one.missing);
    await forgetCopies(tx, assetIds, now);
    await tx.update(wantedCopies).set({ lookAt: null }).where(inArray(wantedCopies.assetId, assetIds));
    await tx
      .update(wantedCopies)
      .set({ lookAt: new Date(now.getTime() + AGAIN_MS) })
      .where(
        inArray(
          wantedCopies.assetId,
          again.map((one) => one.assetId),
        ),
      );
    return given.length;
  });
}

/** Which of these have too few copies: on boxes that are neither revoked nor lost. */
async function shortOf(tx: Transaction, assetIds: string[], now: Date): Promise<Short[]> {
  const { rows } = await tx.execute<{
    asset_id: string;
    size_bytes: string;
    expires_at: Date | string | null;
    pinned: boolean;
    missing: number;
  }>(sql`
    SELECT w.asset_id, a.size_bytes, w.expires_at, w.pinned, w.copies - (
        SELECT count(*)::int FROM placements p JOIN boxes b ON b.id = p.box_id
        WHERE p.asset_id = w.asset_id AND p.desired = 'held' AND b.revoked_at IS NULL
          AND NOT EXISTS (SELECT 1 FROM lost_boxes l WHERE l.box_id = b.id)
      ) AS missing
    FROM wanted_copies w JOIN assets a ON a.id = w.asset_id
    WHERE w.asset_id = ANY(${sql.param(assetIds)}::text[]) AND a.state = 'ready'
      AND (w.expires_at IS NULL OR w.expires_at > ${now.toISOString()}::timestamptz)
    ORDER BY w.asset_id`);
  return rows
    .filter((row) => row.missing > 0)
    .map((row) => ({
      assetId: row.asset_id,
      sizeBytes: Number(row.size_bytes),
      expiresAt: row.expires_at === null ? null : new Date(row.expires_at),
      pinned: row.pinned,
      missing: row.missing,
    }));
}

/** Boxes that can take something, with the room that is not spoken for. */
async function roomsFor(tx: Transaction): Promise<Room[]> {
  const online = await tx
    .select({ id: boxes.id, heartbeat: boxes.heartbeat })
    .from(boxes)
    .where(and(eq(boxes.online, true), isNull(boxes.revokedAt)));
  const promised = await tx.execute<{ box_id: string; bytes: string }>(sql`
    SELECT p.box_id, sum(a.size_bytes - p.bytes_done) AS bytes
    FROM placements p JOIN assets a ON a.id = p.asset_id JOIN boxes b ON b.id = p.box_id
    WHERE b.online AND p.desired = 'held' AND p.reported IS DISTINCT FROM 'held' GROUP BY p.box_id`);
  const takenBy = new Map(promised.rows.map((row) => [row.box_id, Number(row.bytes)]));
  return online
    .filter(({ heartbeat }) => heartbeat?.store.state === 'ok' || heartbeat?.store.state === 'slow')
    .map(({ id, heartbeat }) => ({ boxId: id, freeBytes: roomOf(heartbeat) - (takenBy.get(id) ?? 0) }));
}

/** `<asset> <box>` for boxes an asset cannot go to: those it is on, is going from, or was put out by. */
async function barredFrom(tx: Transaction, assetIds: string[], now: Date): Promise<Set<string>> {
  await tx.execute(
    sql`DELETE FROM evictions WHERE evicted_at < ${new Date(now.getTime() - EVICTED_MS).toISOString()}::timestamptz`,
  );
  const { rows } = await tx.execute<{ asset_id: string; box_id: string }>(sql`
    SELECT asset_id, box_id FROM placements WHERE asset_id = ANY(${sql.param(assetIds)}::text[])
    UNION SELECT asset_id, box_id FROM evictions WHERE asset_id = ANY(${sql.param(assetIds)}::text[])`);
  return new Set(rows.map((row) => `${row.asset_id} ${row.box_id}`));
}

interface Given {
  asset: Short;
  boxId: string;
}

/** Those with most room first; each that is given something takes its new place among the others. */
function choose(short: Short[], rooms: Room[], barred: ReadonlySet<string>): Given[] {
  const given: Given[] = [];
  const order = (a: Room, b: Room) => b.freeBytes - a.freeBytes || (a.boxId < b.boxId ? -1 : 1);
  let roomiest = rooms.toSorted(order);
  for (const asset of short) {
    const taken: Room[] = [];
    for (const room of roomiest) {
      if (taken.length === asset.missing || room.freeBytes <= asset.sizeBytes) break;
      if (!barred.has(`${asset.assetId} ${room.boxId}`)) taken.push(room);
    }
    if (taken.length === 0) continue;
    for (const room of taken) {
      room.freeBytes -= asset.sizeBytes;
      given.push({ asset, boxId: room.boxId });
    }
    // Nearly sorted already, which is quick.
    roomiest = roomiest.sort(order);
  }
  return given;
}

async function place(tx: Transaction, given: Given[]): Promise<void> {
  if (given.length === 0) return;
  const assetIds = [...new Set(given.map(({ asset }) => asset.assetId))];
  const open = await tx
    .selectDistinctOn([assignments.assetId], { assetId: assignments.assetId, id: assignments.id })
    .from(assignments)
    .where(and(inArray(assignments.assetId, assetIds), isNull(assignments.endedAt)))
    .orderBy(assignments.assetId, sql`${assignments.createdAt} DESC`);
  const assignmentOf = new Map(open.map((row) => [row.assetId, row.id]));
  for (const { asset } of given) {
    if (assignmentOf.has(asset.assetId)) continue;
    const id = newId('asg');
    await tx.insert(assignments).values({ id, assetId: asset.assetId, expiresAt: asset.expiresAt });
    assignmentOf.set(asset.assetId, id);
  }
  await tx.insert(placements).values(
    given.map(({ asset: { assetId, expiresAt, pinned }, boxId }) => ({
      assetId,
      boxId,
      assignmentId: assignmentOf.get(assetId) ?? '',
      desired: 'held' as const,
      expiresAt,
      pinned,
    })),
  );
  for (const boxId of new Set(given.map((one) => one.boxId))) await notify(tx, 'desired', boxId);
}

/**
 * Counts boxes out that have been away for long, and in again when they are back.
 * @returns how many were counted out
 */
export async function noteLostBoxes(db: Database, now = new Date()): Promise<number> {
  const before = new Date(now.getTime() - LOST_MS).toISOString();
  await db.execute(sql`DELETE FROM lost_boxes l USING boxes b WHERE b.id = l.box_id AND b.online`);
  const found = await db.execute<{ id: string }>(sql`
    SELECT b.id FROM boxes b WHERE NOT b.online AND b.revoked_at IS NULL AND b.last_seen_at < ${before}::timestamptz
      AND NOT EXISTS (SELECT 1 FROM lost_boxes l WHERE l.box_id = b.id) LIMIT 100`);
  for (const { id } of found.rows) {
    await changeWanted(db, async (tx) => {
      const counted = await tx.insert(lostBoxes).values({ boxId: id }).onConflictDoNothing().returning();
      if (counted.length === 0) return;
      const held = await tx
        .select({ assetId: placements.assetId })
        .from(placements)
        .where(and(eq(placements.boxId, id), eq(placements.desired, 'held')));
      await lookAtCopies(
        tx,
        held.map((row) => row.assetId),
      );
    });
  }
  return found.rows.length;
}
