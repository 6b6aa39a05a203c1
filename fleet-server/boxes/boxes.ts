import { and, asc, desc, eq, isNull, sql } from 'drizzle-orm';
import type { z } from 'zod';
import { changeWanted, endPlacements, listPlacements } from '#fleet/assignments/assignments.ts';
import { lookAtCopies } from '#fleet/assignments/copies.ts';
import { enqueue } from '#fleet/commands/outbox.ts';
import type { Database, Queryable } from '#fleet/database/database.ts';
import { notify } from '#fleet/database/listen.ts';
import {
  assets,
  boxCertificates,
  boxes,
  commands,
  ledgerEntries,
  placements,
  spotChecks,
} from '#fleet/database/schema.ts';
import { earningsOf } from '#fleet/ledger/earnings.ts';
import { accountOf } from '#fleet/ledger/ledger.ts';
import { openSessions } from '#fleet/relay/away/listing.ts';
import { relayedBoxes } from '#fleet/relay/standing.ts';
import { whyLeftOut } from '#fleet/rollouts/left-out.ts';
import { askSpotCheck } from '#fleet/spot-checks/spot-checks.ts';
import { HearthError } from '#protocol/errors.ts';
import type { Box, BoxDetail, boxCommandSchema } from '#protocol/http-fleet.ts';

type BoxRow = typeof boxes.$inferSelect;

/**
 * Why the router leaves a box out, in a word the consoles translate; null when it does not.
 * @param relayed whether a relay reaches it
 */
export function notRoutable(box: BoxRow, relayed: boolean): string | null {
  if (box.revokedAt) return 'revoked';
  if (!box.online) return 'offline';
  if (!box.heartbeat) return 'no_heartbeat';
  const { state } = box.heartbeat.store;
  if (state === 'absent' || state === 'foreign' || state === 'failing') return `disk_${state}`;
  if (relayed || isDirect(box)) return null;
  return box.dialOk === false && box.dialledUrl === box.heartbeat.contentUrl ? 'unreachable' : 'not_dialled';
}

/** Whether the fleet has reached it itself where it says it serves. */
function isDirect(box: BoxRow): boolean {
  return box.dialOk === true && box.dialledUrl === box.heartbeat?.contentUrl;
}

/** Boxes with their counts, by label. */
export async function listBoxes(
  db: Queryable,
  filter: { ids?: string[]; after?: string | undefined; limit: number },
): Promise<{ items: Box[]; next: string | null }> {
  const rows = await db
    .select()
    .from(boxes)
    .where(
      and(
        isNull(boxes.revokedAt),
        filter.ids ? sql`${boxes.id} = ANY(${sql.param(filter.ids)}::text[])` : undefined,
        filter.after
          ? sql`(${boxes.label}, ${boxes.id}) > (SELECT label, id FROM boxes WHERE id = ${filter.after})`
          : undefined,
      ),
    )
    .orderBy(asc(boxes.label), asc(boxes.id))
    .limit(filter.limit + 1);
  const page = rows.slice(0, filter.limit);
  const ids = page.map((row) => row.id);
  const counts = await db
    .select({
      boxId: placements.boxId,
      held: sql<number>`count(*) FILTER (WHERE ${placements.reported} = 'held' AND ${placements.desired} = 'held'
        AND ${placements.reportedSha256} = ${assets.sha256})::int`,
      failed: sql<number>`count(*) FILTER (WHERE ${placements.reported} = 'failed')::int`,
      all: sql<number>`count(*)::int`,
    })
    .from(placements)
    .innerJoin(assets, eq(assets.id, placements.assetId))
    .where(sql`${placements.boxId} = ANY(${sql.param(ids)}::text[])`)
    .groupBy(placements.boxId);
  const earned = await db
    .select({ accountId: ledgerEntries.accountId, sum: sql<string>`sum(${ledgerEntries.amount})` })
    .from(ledgerEntries)
    .where(sql`${ledgerEntries.accountId} = ANY(${sql.param(ids.map(accountOf.box))}::text[])`)
    .groupBy(ledgerEntries.accountId);
  const relayed = await relayedBoxes(db);
  const items = page.map((row): Box => {
    const count = counts.find((found) => found.boxId === row.id) ?? { held: 0, failed: 0, all: 0 };
    const isRelayed = relayed.has(row.id);
    const reason = notRoutable(row, isRelayed);
    return {
      id: row.id,
      label: row.label,
      state: row.lastSeenAt === null ? 'never_seen' : row.online ? 'online' : 'offline',
      routable: reason === null,
      notRoutableReason: reason,
      reachedBy: reason !== null ? null : isDirect(row) ? 'direct' : 'relay',
      agentVersion: row.agentVersion,
      enrolledAt: row.enrolledAt.toISOString(),
      lastSeenAt: row.lastSeenAt?.toISOString() ?? null,
      heartbeat: row.heartbeat,
      held: count.held,
      failed: count.failed,
      pending: count.all - count.held - count.failed,
      refusedMessages: row.refusedMessages,
      earned: earned.find((found) => found.accountId === accountOf.box(row.id))?.sum ?? '0',
    };
  });
  return { items, next: rows.length > filter.limit ? (items.at(-1)?.id ?? null) : null };
}

/** Everything about one box. @throws HearthError `not_found` */
export async function boxDetail(db: Database, boxId: string): Promise<BoxDetail> {
  const row = await boxRow(db, boxId);
  const [summary] = (await listBoxes(db, { ids: [boxId], limit: 1 })).items;
  if (!summary) throw missing(boxId);
  const recent = await db
    .select()
    .from(commands)
    .where(eq(commands.boxId, boxId))
    .orderBy(desc(commands.createdAt))
    .limit(20);
  const checks = await db
    .select()
    .from(spotChecks)
    .where(eq(spotChecks.boxId, boxId))
    .orderBy(desc(spotChecks.askedAt))
    .limit(20);
  const [certificate] = await db.select().from(boxCertificates).where(eq(boxCertificates.boxId, boxId));
  return {
    ...summary,
    certificate: certificate
      ? {
          expiresAt: certificate.expiresAt?.toISOString() ?? null,
          failingSince: certificate.failingSince?.toISOString() ?? null,
          problemCode: certificate.problemCode,
          problem: certificate.problem,
        }
      : null,
    away: {
      on: row.heartbeat?.away?.keySha256 !== undefined,
      sessions: (await openSessions(db, [boxId])).get(boxId) ?? [],
    },
    noUpdates: await whyLeftOut(db, boxId),
    hardware: row.hardware,
    placements: await listPlacements(db, { boxId }),
    commands: recent.map((command) => ({
      id: command.id,
      type: command.type,
      state: command.state,
      attempts: command.attempts,
      createdAt: command.createdAt.toISOString(),
      endedAt: command.endedAt?.toISOString() ?? null,
      detail: command.detail,
    })),
    spotChecks: checks.map((check) => ({
      at: check.askedAt.toISOString(),
      sha256: check.sha256,
      chunkIndex: check.chunkIndex,
      outcome: check.outcome,
    })),
    integrity: row.integrity && {
      at: row.integrity.at,
      finished: row.integrity.finished,
      checkedChunks: row.integrity.checkedChunks,
      totalChunks: row.integrity.totalChunks,
      damagedChunks: row.integrity.damaged.length,
    },
    earnings: await earningsOf(db, boxId),
  };
}

/** @throws HearthError `not_found` */
export async function renameBox(db: Database, boxId: string, label: string): Promise<void> {
  await boxRow(db, boxId);
  await db.update(boxes).set({ label }).where(eq(boxes.id, boxId));
}

/** Ends a box for good: its certificate opens nothing any more. What it earned stays in the ledger. */
export async function revokeBox(db: Database, boxId: string): Promise<void> {
  await boxRow(db, boxId);
  await changeWanted(db, async (tx) => {
    await tx.update(boxes).set({ revokedAt: new Date(), online: false }).where(eq(boxes.id, boxId));
    const held = await tx
      .select({ id: placements.assetId })
      .from(placements)
      .where(eq(placements.boxId, boxId));
    await endPlacements(
      tx,
      held.map((row) => row.id),
      [boxId],
    );
    await tx.delete(placements).where(eq(placements.boxId, boxId));
    await lookAtCopies(
      tx,
      held.map((row) => row.id),
    );
    await notify(tx, 'boxes', boxId);
  });
}

/** Queues a command an operator asks for by hand. @returns its id; @throws HearthError `not_found` */
export async function commandBox(
  db: Database,
  boxId: string,
  command: z.infer<typeof boxCommandSchema>,
): Promise<string> {
  await boxRow(db, boxId);
  switch (command.type) {
    case 'spot-check':
      return askSpotCheck(db, boxId, command.sha256);
    case 'get':
      return enqueue(db, boxId, `get:${command.sha256}`, command);
    default:
      return enqueue(db, boxId, command.type, command);
  }
}

async function boxRow(db: Queryable, boxId: string): Promise<BoxRow> {
  const [row] = await db
    .select()
    .from(boxes)
    .where(and(eq(boxes.id, boxId), isNull(boxes.revokedAt)));
  if (!row) throw missing(boxId);
  return row;
}

const missing = (boxId: string) => new HearthError('not_found', `There is no box ${boxId}.`);
