import type { BoxStatus } from '#protocol/http-box.ts';
import type { Fire } from '../shared/components/icon.tsx';

/** What the top of the first page says: `head.<name>.title` and `head.<name>.text`. */
export type HeadlineName =
  | 'unpaired'
  | 'pairing'
  | 'connecting'
  | 'offline'
  | 'absent'
  | 'foreign'
  | 'read_only'
  | 'full'
  | 'failing'
  | 'slow'
  | 'serving'
  | 'earning'
  | 'downloading'
  | 'waiting';

export interface Headline {
  name: HeadlineName;
  fire: Fire;
  /** The box's own words on why, where they add something. */
  reason: string | null;
}

/**
 * Says how the box is in one sentence, the worst first: what only the household can mend comes before what
 * mends itself, and pairing before everything, since nothing else matters until then.
 */
export function headline(status: Pick<BoxStatus, 'link' | 'disk' | 'serving' | 'holding'>): Headline {
  const { link, disk, serving, holding } = status;
  if (link.state === 'unpaired') return { name: 'unpaired', fire: 'embers', reason: link.problem };
  if (link.state === 'pairing') return { name: 'pairing', fire: 'embers', reason: link.problem };
  if (disk.state !== 'ok' && disk.state !== 'slow' && disk.state !== 'full') {
    return { name: disk.state, fire: 'cold', reason: null };
  }
  if (link.state === 'connecting') return { name: 'connecting', fire: 'embers', reason: link.problem };
  if (link.state === 'offline') return { name: 'offline', fire: 'cold', reason: link.problem };
  if (disk.state === 'full') return { name: 'full', fire: 'embers', reason: null };
  if (disk.state === 'slow') return { name: 'slow', fire: 'lit', reason: null };
  if (serving.connections > 0 && serving.bytesPerSecond > 0)
    return { name: 'serving', fire: 'blaze', reason: null };
  if (holding.downloading + holding.queued > 0) return { name: 'downloading', fire: 'lit', reason: null };
  if (holding.held > 0) return { name: 'earning', fire: 'lit', reason: null };
  return { name: 'waiting', fire: 'lit', reason: null };
}
