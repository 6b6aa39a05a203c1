import { and, eq, inArray, ne, sql } from 'drizzle-orm';
import type { z } from 'zod';
import type { Database, Queryable, Transaction } from '#fleet/database/database.ts';
import { artefactsOf, published } from '#fleet/releases/metadata.ts';
import { rollouts, rolloutTargets } from '#fleet/releases/tables.ts';
import { HearthError } from '#protocol/errors.ts';
import { newId } from '#protocol/ids.ts';
import { compareVersions } from '#protocol/release.ts';
import type { ReleaseTrust } from '#protocol/release-trust.ts';
import type { createRolloutSchema, RolloutAction, RolloutPlan } from '#protocol/rollout.ts';
import { candidatesOf } from './candidates.ts';
import { wavesOf } from './choose.ts';
import { beginRollBack, dropOrdered, halt } from './drive.ts';
import { note } from './events.ts';

type RolloutRow = typeof rollouts.$inferSelect;

/**
 * Begins a rollout of a published version. Boxes without an artefact for their processor are not part of it.
 * @throws HearthError `not_found`, `conflict`, `release_expired`
 */
export async function createRollout(
  db: Database,
  { version, ...plan }: z.output<typeof createRolloutSchema>,
  operator: string,
  now = new Date(),
): Promise<string> {
  const trust = await published(db);
  const artefacts = trust ? artefactsOf(trust, version) : new Map();
  if (!trust || artefacts.size === 0) {
    throw new HearthError('not_found', `Version ${version} is not released here. Publish it first.`);
  }
  assertFresh(trust, now);
  const architectures = (plan.selector.architectures ?? [...artefacts.keys()]).filter((one) =>
    artefacts.has(one),
  );
  const narrowed: RolloutPlan = { ...plan, selector: { ...plan.selector, architectures } };
  const backTo = wayBack(trust, version, architectures);
  return db.transaction(async (tx) => {
    const [active] = await tx
      .select({ id: rollouts.id, version: rollouts.version, state: rollouts.state })
      .from(rollouts)
      .where(inArray(rollouts.state, ['running', 'paused', 'halted', 'rolling_back']));
    if (active) {
      throw new HearthError(
        'conflict',
        `The rollout of ${active.version} (${active.id}) is ${active.state}: end it first (cancel or roll back).`,
      );
    }
    const chosen = await candidatesOf(tx, narrowed);
    if (chosen.length === 0) {
      throw new HearthError(
        'conflict',
        'No box that can be updated is selected, or has an artefact of this version.',
      );
    }
    const stranger = narrowed.canaries.find((canary) => !chosen.some(({ boxId }) => boxId === canary));
    if (stranger)
      throw new HearthError('conflict', `The canary ${stranger} is not among the boxes selected.`);
    const id = newId('roll');
    const inserted = await tx
      .insert(rollouts)
      .values({ id, version, backTo, state: 'running', plan: narrowed, createdAt: now })
      .onConflictDoNothing()
      .returning({ id: rollouts.id });
    if (inserted.length === 0) throw new HearthError('conflict', 'Another rollout has just been begun.');
    const waves = wavesOf(
      id,
      narrowed,
      chosen.map(({ boxId }) => boxId),
    );
    // In pieces: a statement has 65535 parameters at most.
    for (let at = 0; at < chosen.length; at += 5_000) {
      await tx.insert(rolloutTargets).values(
        chosen.slice(at, at + 5_000).map(({ boxId, report }) => ({
          rolloutId: id,
          boxId,
          wave: waves.get(boxId) ?? 0,
          fromVersion: report.version,
        })),
      );
    }
    await note(tx, id, 'created', { operator, detail: `${version}, ${chosen.length} boxes` });
    return id;
  });
}

/**
 * What an operator does to a rollout.
 * @throws HearthError `not_found`, `conflict` when it does not fit its state
 */
export async function actOnRollout(
  db: Database,
  id: string,
  action: RolloutAction,
  operator: string,
): Promise<void> {
  await db.transaction(async (tx) => {
    const [rollout] = await tx.select().from(rollouts).where(eq(rollouts.id, id)).for('update');
    if (!rollout) throw new HearthError('not_found', `There is no rollout ${id}.`);
    const { state } = rollout;
    const only = (...states: RolloutRow['state'][]) => {
      if (!states.includes(state))
        throw new HearthError('conflict', `A rollout that is ${state} cannot do that.`);
    };
    switch (action) {
      case 'pause':
        only('running');
        await tx.update(rollouts).set({ state: 'paused', waveMetAt: null }).where(eq(rollouts.id, id));
        return note(tx, id, 'paused', { operator });
      case 'resume':
        only('paused', 'halted');
        if (state === 'halted') await tryAgain(tx, id);
        await tx.update(rollouts).set({ state: 'running', reason: null }).where(eq(rollouts.id, id));
        return note(tx, id, 'resumed', { operator });
      case 'halt':
        only('running', 'paused');
        await note(tx, id, 'halted', { operator });
        return halt(tx, rollout, `by ${operator}`, false);
      case 'roll-back':
        only('running', 'paused', 'halted', 'finished');
        if (rollout.backTo === null) {
          throw new HearthError('conflict', `No version is signed as a way back from ${rollout.version}.`);
        }
        if (state === 'finished') await assertNewest(tx, rollout);
        return beginRollBack(tx, rollout, `by ${operator}`);
      case 'cancel':
        only('running', 'paused', 'halted', 'rolling_back');
        await dropOrdered(tx, id);
        await tx
          .update(rollouts)
          .set({ state: 'cancelled', endedAt: new Date(), waveMetAt: null })
          .where(eq(rollouts.id, id));
        return note(tx, id, 'cancelled', { operator });
    }
  });
}

/** The newest older version that every artefact of it is signed to replace this one. */
function wayBack(trust: ReleaseTrust, version: string, architectures: string[]): string | null {
  const older = [...new Set(trust.artefacts().map((artefact) => artefact.version))]
    .filter((other) => compareVersions(other, version) < 0)
    .sort((a, b) => compareVersions(b, a));
  const leads = (other: string) => {
    const artefacts = artefactsOf(trust, other);
    return architectures.every((architecture) =>
      [...artefacts.values()].some(
        (artefact) => artefact.architecture === architecture && artefact.rollbackFrom.includes(version),
      ),
    );
  };
  return older.find(leads) ?? null;
}

/** Boxes would refuse all of it, and the rollout would halt with their refusals. */
function assertFresh(trust: ReleaseTrust, now: Date): void {
  const stale = Object.entries(trust.expiries).find(
    ([, expiry]) => expiry !== null && Date.parse(expiry) <= now.getTime(),
  );
  if (stale) {
    throw new HearthError(
      'release_expired',
      `The ${stale[0]} metadata expired at ${stale[1]}: sign it anew and publish it.`,
    );
  }
}

/** Boxes that failed get another try, under another update id. */
async function tryAgain(tx: Transaction, id: string): Promise<void> {
  await tx
    .update(rolloutTargets)
    .set({
      state: 'pending',
      attempt: sql`${rolloutTargets.attempt} + 1`,
      orderedAt: null,
      reasonCode: null,
      reasonMessage: null,
      changedAt: new Date(),
    })
    .where(and(eq(rolloutTargets.rolloutId, id), eq(rolloutTargets.state, 'failed')));
}

async function assertNewest(tx: Queryable, rollout: RolloutRow): Promise<void> {
  const later = await tx.$count(
    rollouts,
    and(
      ne(rollouts.id, rollout.id),
      sql`${rollouts.createdAt} >= ${rollout.createdAt.toISOString()}::timestamptz`,
    ),
  );
  if (later > 0) throw new HearthError('conflict', 'There has been a later rollout: roll that back.');
}
