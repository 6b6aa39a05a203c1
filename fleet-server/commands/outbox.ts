import { and, asc, eq, gte, inArray, isNull, lt, or, sql } from 'drizzle-orm';
import { manifestOf } from '#fleet/assets/manifest.ts';
import type { Queryable } from '#fleet/database/database.ts';
import { notify } from '#fleet/database/listen.ts';
import { commands, placements } from '#fleet/database/schema.ts';
import { newId } from '#protocol/ids.ts';
import type { CommandBody, Reply } from '#protocol/messages.ts';
import { clip } from '#protocol/messages.ts';

/**
 * A command as its row keeps it. A `cache` command names its asset only: the manifest is put in when it is sent,
 * so that a hash list of 175 KB is not stored once for every box.
 */
export type StoredCommand =
  | { type: 'cache'; assetId: string; sha256: string; expiresAt: string | null }
  | Exclude<CommandBody, { type: 'cache' | 'configure' }>;

const LIFE_MS: Record<StoredCommand['type'], number> = {
  // Desired state outlives these: what expires unanswered is asked for again.
  cache: 7 * 86_400_000,
  delete: 7 * 86_400_000,
  get: 60_000,
  hardware: 3_600_000,
  index: 3_600_000,
  'spot-check': 60_000,
  // A box asks again for one it did not get.
  certificate: 86_400_000,
  // What was ordered stays ordered in the rollout: it is said again.
  update: 600_000,
};
/** A command that got no reply is sent again after this long. */
export const RESEND_MS = 15_000;
/** Commands of one box under way at once; the rest wait their turn. */
export const IN_FLIGHT = 32;

export type CommandRow = typeof commands.$inferSelect;

/**
 * Puts a command into a box's outbox and wakes whoever holds its connection. An open command on the same subject
 * is voided: the newest word counts.
 * @returns the command's id
 */
export async function enqueue(
  db: Queryable,
  boxId: string,
  subject: string,
  body: StoredCommand,
  lifeMs = LIFE_MS[body.type],
): Promise<string> {
  await voidOpen(db, boxId, subject);
  const id = newId('cmd');
  const written = await db
    .insert(commands)
    .values({
      id,
      boxId,
      type: body.type,
      subject,
      body: body as CommandBody,
      expiresAt: new Date(Date.now() + lifeMs),
    })
    // Another process put one in at this very moment; both follow from the same desired state.
    .onConflictDoNothing()
    .returning({ id: commands.id });
  await notify(db, 'commands', boxId);
  return written[0]?.id ?? id;
}

/** Voids what is open on a subject. */
export async function voidOpen(db: Queryable, boxId: string, subject: string): Promise<void> {
  await db
    .update(commands)
    .set({ state: 'void', endedAt: new Date() })
    .where(
      and(
        eq(commands.boxId, boxId),
        eq(commands.subject, subject),
        inArray(commands.state, ['pending', 'sent']),
      ),
    );
}

/**
 * The commands to be sent to a box now: never sent, oldest first, then those sent and unanswered for `RESEND_MS`; no
 * more than may be under way beside those just sent. A box that leaves some unanswered still gets the others.
 */
export async function due(db: Queryable, boxId: string, now = new Date()): Promise<CommandRow[]> {
  await db
    .update(commands)
    .set({ state: 'void', endedAt: now, detail: 'expired unanswered' })
    .where(
      and(
        eq(commands.boxId, boxId),
        inArray(commands.state, ['pending', 'sent']),
        lt(commands.expiresAt, now),
      ),
    );
  const open = and(eq(commands.boxId, boxId), inArray(commands.state, ['pending', 'sent']));
  const resendAt = new Date(now.getTime() - RESEND_MS);
  const underWay = await db.$count(commands, and(open, gte(commands.lastSentAt, resendAt)));
  if (underWay >= IN_FLIGHT) return [];
  return db
    .select()
    .from(commands)
    .where(and(open, or(isNull(commands.lastSentAt), lt(commands.lastSentAt, resendAt))))
    .orderBy(sql`${commands.lastSentAt} ASC NULLS FIRST`, asc(commands.createdAt))
    .limit(IN_FLIGHT - underWay);
}

/** Remembers that commands were sent. */
export async function markSent(db: Queryable, ids: string[], now = new Date()): Promise<void> {
  if (ids.length === 0) return;
  await db
    .update(commands)
    .set({ state: 'sent', lastSentAt: now, attempts: sql`${commands.attempts} + 1` })
    .where(and(inArray(commands.id, ids), inArray(commands.state, ['pending', 'sent'])));
}

/** After a reconnection: whatever was sent into the old connection may be lost, so all of it is due again. */
export async function makeDue(db: Queryable, boxId: string): Promise<void> {
  await db
    .update(commands)
    .set({ lastSentAt: null })
    .where(and(eq(commands.boxId, boxId), eq(commands.state, 'sent')));
}

/**
 * Ends a command with the box's reply. A reply to another box's command, or to one that has ended, changes
 * nothing.
 * @returns the command, if this reply ended it
 */
export async function complete(db: Queryable, boxId: string, reply: Reply): Promise<CommandRow | null> {
  const { outcome } = reply;
  const detail = outcome.ok
    ? outcome.result && JSON.stringify(outcome.result)
    : `${outcome.error.code}: ${outcome.error.message}`;
  const [row] = await db
    .update(commands)
    .set({ state: outcome.ok ? 'done' : 'refused', endedAt: new Date(), detail: detail && clip(detail) })
    .where(
      and(
        eq(commands.id, reply.commandId),
        eq(commands.boxId, boxId),
        inArray(commands.state, ['pending', 'sent']),
      ),
    )
    .returning();
  return row ?? null;
}

/** Makes the body that is sent: fills in the manifest. Null when the command has lost its object meanwhile. */
export async function bodyOf(db: Queryable, row: CommandRow): Promise<CommandBody | null> {
  const stored = row.body as unknown as StoredCommand;
  if (stored.type !== 'cache') return stored;
  const asset = await manifestOf(db, stored.assetId);
  if (!asset || asset.sha256 !== stored.sha256) return null;
  const ttlMs = stored.expiresAt === null ? null : Date.parse(stored.expiresAt) - Date.now();
  if (ttlMs !== null && ttlMs < 1) return null;
  const [placement] = await db
    .select({ pinned: placements.pinned })
    .from(placements)
    .where(and(eq(placements.assetId, stored.assetId), eq(placements.boxId, row.boxId)));
  return { type: 'cache', asset, ttlMs, ...(placement?.pinned ? { pinned: true } : {}) };
}
