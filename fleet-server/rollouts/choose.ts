import { createHash } from 'node:crypto';
import type { RolloutPlan } from '#protocol/rollout.ts';

/** A box as a selector sees it. */
export interface Candidate {
  boxId: string;
  label: string;
  architecture: string;
}

/** Whether a rollout is for a box. */
export function selects({ selector }: Pick<RolloutPlan, 'selector'>, box: Candidate): boolean {
  const { architectures, boxIds, labels } = selector;
  if (architectures && !architectures.some((one) => one === box.architecture)) return false;
  if (boxIds && !boxIds.includes(box.boxId)) return false;
  return labels === undefined || matchesPattern(labels, box.label);
}

/** `*` stands for any characters. Walked through without a regular expression: an operator's pattern may be anything. */
function matchesPattern(pattern: string, label: string): boolean {
  const [first = '', ...parts] = pattern.split('*');
  if (!label.startsWith(first)) return false;
  if (parts.length === 0) return label === first;
  const last = parts.pop() ?? '';
  let at = first.length;
  for (const part of parts) {
    const found = label.indexOf(part, at);
    if (found < 0) return false;
    at = found + part.length;
  }
  return label.length - at >= last.length && label.endsWith(last);
}

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
