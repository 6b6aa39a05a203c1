import type { Queryable } from '#fleet/database/database.ts';
import { rolloutEvents } from '#fleet/releases/tables.ts';
import { clip } from '#protocol/messages.ts';
import type { RolloutEventKind } from '#protocol/rollout.ts';

/** Writes down what happened, in the transaction in which it does. */
export async function note(
  db: Queryable,
  rolloutId: string,
  kind: RolloutEventKind,
  more: { boxId?: string; operator?: string; detail?: string } = {},
): Promise<void> {
  const { boxId = null, operator = null, detail = '' } = more;
  await db.insert(rolloutEvents).values({ rolloutId, kind, boxId, operator, detail: clip(detail) });
}
