import { and, eq } from 'drizzle-orm';
import type { Database } from '#fleet/database/database.ts';
import { boxUpdates, rollouts, rolloutTargets } from '#fleet/releases/tables.ts';
import type { UpdateReport } from '#protocol/release.ts';
import type { RolloutEventKind, TargetState } from '#protocol/rollout.ts';
import { updateIdOf } from './drive.ts';
import { note } from './events.ts';

/**
 * Takes a box's word on how it stands with updates. What it says is the whole of it, so the same word twice, or an
 * old one after a new one, changes nothing that has ended: only the update a target is at now counts.
 */
export async function takeUpdateReport(db: Database, boxId: string, report: UpdateReport): Promise<void> {
  await db.transaction(async (tx) => {
    const reportedAt = new Date();
    await tx
      .insert(boxUpdates)
      .values({ boxId, report, reportedAt })
      .onConflictDoUpdate({ target: boxUpdates.boxId, set: { report, reportedAt } });
    const { update } = report;
    if (!update || (update.state !== 'updated' && update.state !== 'failed')) return;
    const rolloutId = update.updateId.replace(/-(on|back)-\d+$/, '');
    // The rollout first, as everybody locks: nobody waits in a circle.
    const [rollout] = await tx.select().from(rollouts).where(eq(rollouts.id, rolloutId)).for('update');
    if (!rollout) return;
    const own = and(eq(rolloutTargets.rolloutId, rolloutId), eq(rolloutTargets.boxId, boxId));
    const [target] = await tx.select().from(rolloutTargets).where(own);
    if (!target || updateIdOf(rolloutId, target.state, target.attempt) !== update.updateId) return;
    const next = after(target.state, update.state);
    if (next === null || next.state === target.state) return;
    const reason = update.state === 'failed' ? update.reason : null;
    await tx
      .update(rolloutTargets)
      .set({
        state: next.state,
        changedAt: reportedAt,
        reasonCode: reason?.code ?? null,
        reasonMessage: reason?.message ?? null,
      })
      .where(own);
    const detail = reason ? `${reason.code}: ${reason.message}` : report.version;
    await note(tx, rolloutId, next.event, { boxId, detail });
  });
}

function after(
  state: TargetState,
  outcome: 'updated' | 'failed',
): { state: TargetState; event: RolloutEventKind } | null {
  switch (state) {
    case 'ordered':
    // Kept, and given up later; or thought lost, and back.
    case 'updated':
    case 'failed':
      return outcome === 'updated'
        ? { state: 'updated', event: 'box_updated' }
        : { state: 'failed', event: 'box_failed' };
    case 'reverting':
      return outcome === 'updated'
        ? { state: 'reverted', event: 'box_reverted' }
        : { state: 'failed', event: 'box_failed' };
    default:
      return null;
  }
}
