import { createHash } from 'node:crypto';
import type { RolloutPlan } from '#protocol/rollout.ts';

/**
 * Puts boxes into waves: canaries first, the others in an order that is random but the same each time, so that
 * whichever process asks gets one answer, and no box is the first of every rollout.
 * @returns the wave of each box
 */
export function wavesOf(
  rolloutId: string,
  plan: RolloutPlan,
  boxIds: readonly string[],
): Map<string, number> {
  const { waves, canaries } = plan;
  const rank = (boxId: string) => createHash('sha256').update(`${rolloutId}/${boxId}`).digest('hex');
  const isCanary = (boxId: string) => canaries.includes(boxId);
  const inOrder = boxIds
    .map((boxId) => ({ boxId, key: `${isCanary(boxId) ? 0 : 1}${rank(boxId)}` }))
    .sort((a, b) => (a.key < b.key ? -1 : 1));
  const named = inOrder.filter(({ boxId }) => isCanary(boxId)).length;
  const ends = waves.map((percent) => Math.ceil((percent * inOrder.length) / 100));
  if (named > 0) ends[0] = named;
  else if (waves.length > 1) ends[0] = Math.max(1, ends[0] ?? 1);
  const found = new Map<string, number>();
  inOrder.forEach(({ boxId }, at) => {
    const wave = ends.findIndex((end) => at < end);
    found.set(boxId, wave < 0 ? waves.length - 1 : wave);
  });
  return found;
}
