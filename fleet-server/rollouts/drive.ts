import { and, asc, desc, eq, inArray, lte, or, sql } from 'drizzle-orm';
import { enqueue } from '#fleet/commands/outbox.ts';
import type { Database, Transaction } from '#fleet/database/database.ts';
import { boxes } from '#fleet/database/schema.ts';
import { boxUpdates, rollouts, rolloutTargets } from '#fleet/releases/tables.ts';
import type { UpdateOrder } from '#protocol/release.ts';
import type { TargetState } from '#protocol/rollout.ts';
import { TARGET_STATES } from '#protocol/rollout.ts';
import { candidatesOf } from './candidates.ts';
import { note } from './events.ts';
import { judge } from './judge.ts';

export interface UpdateUrls {
  metadataUrl: string;
  artefactsUrl: string;
}

type Rollout = typeof rollouts.$inferSelect;
/** An order that a box does not speak of is said again after this long. */
const SAY_AGAIN_MS = 60_000;
/** Boxes have come back by then after the fleet was away. */
const RETURN_MS = 300_000;
/** Boxes ordered to in one turn. */
const MOST_ORDERS = 200;

/**
 * Takes every rollout one step on. A step is one transaction over the rollout's row, so any number of workers may do
 * this at once, and be killed anywhere: what was not done is done by the next.
 * @param upSince when this process began: who is away because the fleet was is given time to come back
 */
export async function driveRollouts(
  db: Database,
  urls: UpdateUrls,
  now = new Date(),
  upSince = new Date(0),
): Promise<void> {
  const newest = await db
    .select({ id: rollouts.id, state: rollouts.state })
    .from(rollouts)
    .orderBy(desc(rollouts.createdAt), desc(rollouts.id))
    .limit(1);
  const [row] = newest;
  // Of those that have ended only the newest still counts: it finds boxes that were away.
  if (!row || row.state === 'cancelled' || row.state === 'halted' || row.state === 'paused') return;
  await db.transaction(async (tx) => {
    const [rollout] = await tx
      .select()
      .from(rollouts)
      .where(eq(rollouts.id, row.id))
      .for('update', { skipLocked: true });
    if (!rollout) return;
    switch (rollout.state) {
      case 'running':
        await admit(tx, rollout);
        await dropRevoked(tx, rollout);
        if (now.getTime() - upSince.getTime() >= RETURN_MS) {
          await findLost(tx, rollout, now);
          await forgetAway(tx, rollout, now);
        }
        await order(tx, rollout, urls, now);
        return advance(tx, rollout, now);
      case 'finished':
        await admit(tx, rollout);
        return order(tx, rollout, urls, now);
      case 'rolling_back':
      case 'rolled_back':
        await order(tx, rollout, urls, now);
        return endRollBack(tx, rollout, now);
    }
  });
}

/** The id of the update a target is to carry out. */
export function updateIdOf(rolloutId: string, state: TargetState, attempt: number): string {
  return `${rolloutId}-${state === 'reverting' || state === 'reverted' ? 'back' : 'on'}-${attempt}`;
}

/** Boxes that came to the fleet since, or have learnt to be updated, are of the last wave. */
async function admit(tx: Transaction, rollout: Rollout): Promise<void> {
  const { plan, id } = rollout;
  const chosen = await candidatesOf(tx, plan, { besides: id, most: MOST_ORDERS });
  if (chosen.length === 0) return;
  const wave = plan.waves.length - 1;
  await tx
    .insert(rolloutTargets)
    .values(chosen.map(({ boxId, report }) => ({ rolloutId: id, boxId, wave, fromVersion: report.version })))
    .onConflictDoNothing();
}

/** Boxes that were revoked on the way: nobody will hear of them, and nobody waits. */
async function dropRevoked(tx: Transaction, { id }: Rollout): Promise<void> {
  await tx
    .update(rolloutTargets)
    .set({ state: 'dropped', changedAt: new Date() })
    .where(
      and(
        eq(rolloutTargets.rolloutId, id),
        inArray(rolloutTargets.state, ['pending', 'ordered']),
        sql`EXISTS (SELECT 1 FROM boxes b WHERE b.id = ${rolloutTargets.boxId} AND b.revoked_at IS NOT NULL)`,
      ),
    );
}

/** A box that went on trial and was not seen again: the one thing that must never happen is not to go unseen. */
async function findLost(tx: Transaction, rollout: Rollout, now: Date): Promise<void> {
  const since = new Date(now.getTime() - rollout.plan.lostAfterMs);
  const lost = await tx
    .select({ boxId: rolloutTargets.boxId })
    .from(rolloutTargets)
    .innerJoin(boxes, eq(boxes.id, rolloutTargets.boxId))
    .innerJoin(boxUpdates, eq(boxUpdates.boxId, rolloutTargets.boxId))
    .where(
      and(
        eq(rolloutTargets.rolloutId, rollout.id),
        eq(rolloutTargets.state, 'ordered'),
        eq(boxes.online, false),
        lte(boxUpdates.reportedAt, since),
        sql`${boxUpdates.report} #>> '{update,state}' = 'trial'`,
      ),
    );
  for (const { boxId } of lost) {
    const message = 'it went on trial and has not been seen since';
    await tx
      .update(rolloutTargets)
      .set({ state: 'failed', reasonCode: 'lost', reasonMessage: message, changedAt: now })
      .where(and(eq(rolloutTargets.rolloutId, rollout.id), eq(rolloutTargets.boxId, boxId)));
    await note(tx, rollout.id, 'box_failed', { boxId, detail: message });
  }
}

/** A box that was told, has not gone on trial, and went away: it is told again when it comes back, and not waited for. */
async function forgetAway(tx: Transaction, rollout: Rollout, now: Date): Promise<void> {
  const since = new Date(now.getTime() - rollout.plan.lostAfterMs).toISOString();
  await tx
    .update(rolloutTargets)
    .set({ state: 'pending', orderedAt: null, changedAt: now })
    .where(
      and(
        eq(rolloutTargets.rolloutId, rollout.id),
        eq(rolloutTargets.state, 'ordered'),
        sql`EXISTS (SELECT 1 FROM boxes b WHERE b.id = ${rolloutTargets.boxId} AND NOT b.online
          AND coalesce(b.last_seen_at, ${rolloutTargets.orderedAt}) <= ${since}::timestamptz)`,
        sql`NOT EXISTS (SELECT 1 FROM box_updates u WHERE u.box_id = ${rolloutTargets.boxId}
          AND u.report #>> '{update,state}' = 'trial')`,
      ),
    );
}

/** Orders boxes that can be reached: those whose turn it is, and those that do not speak of what they were told. */
async function order(tx: Transaction, rollout: Rollout, urls: UpdateUrls, now: Date): Promise<void> {
  const { id, plan, wave } = rollout;
  const back = rollout.state === 'rolling_back' || rollout.state === 'rolled_back';
  const own = eq(rolloutTargets.rolloutId, id);
  const again = new Date(now.getTime() - SAY_AGAIN_MS);
  const underWay = await tx.$count(
    rolloutTargets,
    and(own, inArray(rolloutTargets.state, ['ordered', 'reverting'])),
  );
  const begun = back ? sql`false` : and(eq(rolloutTargets.state, 'pending'), lte(rolloutTargets.wave, wave));
  const rows = await tx
    .select({ target: rolloutTargets, report: boxUpdates.report })
    .from(rolloutTargets)
    .innerJoin(boxes, eq(boxes.id, rolloutTargets.boxId))
    .innerJoin(boxUpdates, eq(boxUpdates.boxId, rolloutTargets.boxId))
    .where(
      and(
        own,
        eq(boxes.online, true),
        sql`${boxes.revokedAt} IS NULL`,
        or(
          begun,
          and(
            eq(rolloutTargets.state, back ? 'reverting' : 'ordered'),
            or(sql`${rolloutTargets.orderedAt} IS NULL`, lte(rolloutTargets.orderedAt, again)),
          ),
        ),
      ),
    )
    .orderBy(asc(rolloutTargets.wave), asc(rolloutTargets.boxId))
    .limit(MOST_ORDERS);
  let room = plan.atOnce - underWay;
  for (const { target, report } of rows) {
    const isNew = target.state === 'pending';
    if (isNew && room-- <= 0) continue;
    const state = isNew ? 'ordered' : target.state;
    const updateId = updateIdOf(id, state, target.attempt);
    await tx
      .update(rolloutTargets)
      .set({ state, orderedAt: now, ...(isNew && { changedAt: now, fromVersion: report.version }) })
      .where(and(own, eq(rolloutTargets.boxId, target.boxId)));
    // It speaks of it: nothing is lost.
    if (!isNew && report.update?.updateId === updateId) continue;
    const version = back ? rollout.backTo : rollout.version;
    if (version === null) continue;
    const wanted: UpdateOrder = { updateId, version, ...urls, window: back ? null : plan.window };
    await enqueue(tx, target.boxId, 'update', { type: 'update', order: wanted });
  }
}

async function advance(tx: Transaction, rollout: Rollout, now: Date): Promise<void> {
  const { id, plan, wave, waveMetAt } = rollout;
  const counts = await countsOf(tx, id, wave);
  const verdict = judge({
    plan,
    waves: plan.waves.length,
    wave,
    waveMetAtMs: waveMetAt?.getTime() ?? null,
    counts,
    orderable: await orderable(tx, rollout),
    nowMs: now.getTime(),
  });
  switch (verdict.do) {
    case 'wait':
      return;
    case 'met':
      await set(tx, id, { waveMetAt: now });
      return note(tx, id, 'wave_met', { detail: String(wave + 1) });
    case 'unmet':
      return set(tx, id, { waveMetAt: null });
    case 'next-wave':
      await set(tx, id, { wave: wave + 1, waveMetAt: null });
      return note(tx, id, 'wave_begun', { detail: String(wave + 2) });
    case 'finish':
      await set(tx, id, { state: 'finished', endedAt: now });
      return note(tx, id, 'finished');
    case 'halt':
      await note(tx, id, 'halted', { detail: verdict.reason });
      return halt(tx, rollout, verdict.reason, plan.rollBack);
  }
}

/** Stops it where it is, or takes back what was done where there is a signed way. In a transaction over its row. */
export async function halt(
  tx: Transaction,
  rollout: Rollout,
  reason: string,
  rollBack: boolean,
): Promise<void> {
  if (rollBack && rollout.backTo !== null) return beginRollBack(tx, rollout, reason);
  await dropOrdered(tx, rollout.id);
  await set(tx, rollout.id, { state: 'halted', waveMetAt: null, reason });
}

/** Everything that was updated, or is about to be, is to go back. */
export async function beginRollBack(tx: Transaction, rollout: Rollout, reason: string | null): Promise<void> {
  await set(tx, rollout.id, { state: 'rolling_back', waveMetAt: null, reason });
  await tx
    .update(rolloutTargets)
    .set({ state: 'reverting', orderedAt: null, changedAt: new Date() })
    .where(
      and(eq(rolloutTargets.rolloutId, rollout.id), inArray(rolloutTargets.state, ['ordered', 'updated'])),
    );
  await note(tx, rollout.id, 'rolling_back', { detail: rollout.backTo ?? '' });
}

/** Boxes that were told and have not switched are told that nothing is wanted. */
export async function dropOrdered(tx: Transaction, rolloutId: string): Promise<void> {
  const dropped = await tx
    .update(rolloutTargets)
    .set({
      state: 'pending',
      orderedAt: null,
      changedAt: new Date(),
      attempt: sql`${rolloutTargets.attempt} + 1`,
    })
    .where(and(eq(rolloutTargets.rolloutId, rolloutId), eq(rolloutTargets.state, 'ordered')))
    .returning({ boxId: rolloutTargets.boxId });
  for (const { boxId } of dropped) await enqueue(tx, boxId, 'update', { type: 'update', order: null });
}

async function endRollBack(tx: Transaction, rollout: Rollout, now: Date): Promise<void> {
  if (rollout.state !== 'rolling_back') return;
  const own = and(eq(rolloutTargets.rolloutId, rollout.id), eq(rolloutTargets.state, 'reverting'));
  const [left] = await tx
    .select({ online: sql<number>`count(*) FILTER (WHERE ${boxes.online})::int` })
    .from(rolloutTargets)
    .innerJoin(boxes, eq(boxes.id, rolloutTargets.boxId))
    .where(own);
  // Those that are away are taken back when they come.
  if ((left?.online ?? 0) > 0) return;
  await set(tx, rollout.id, { state: 'rolled_back', endedAt: now });
  await note(tx, rollout.id, 'rolled_back');
}

/** How many boxes of the waves up to this one are in each state. */
async function countsOf(tx: Transaction, id: string, wave: number): Promise<Record<TargetState, number>> {
  const rows = await tx
    .select({ state: rolloutTargets.state, count: sql<number>`count(*)::int` })
    .from(rolloutTargets)
    .where(and(eq(rolloutTargets.rolloutId, id), lte(rolloutTargets.wave, wave)))
    .groupBy(rolloutTargets.state);
  const counts = Object.fromEntries(TARGET_STATES.map((state) => [state, 0])) as Record<TargetState, number>;
  for (const { state, count } of rows) counts[state] = count;
  return counts;
}

async function orderable(tx: Transaction, { id, wave }: Rollout): Promise<number> {
  const [row] = await tx
    .select({ count: sql<number>`count(*)::int` })
    .from(rolloutTargets)
    .innerJoin(boxes, eq(boxes.id, rolloutTargets.boxId))
    .where(
      and(
        eq(rolloutTargets.rolloutId, id),
        eq(rolloutTargets.state, 'pending'),
        lte(rolloutTargets.wave, wave),
        eq(boxes.online, true),
        sql`${boxes.revokedAt} IS NULL`,
      ),
    );
  return row?.count ?? 0;
}

async function set(tx: Transaction, id: string, values: Partial<Rollout>): Promise<void> {
  await tx.update(rollouts).set(values).where(eq(rollouts.id, id));
}
