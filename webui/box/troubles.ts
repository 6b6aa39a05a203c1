import type { BoxStatus } from '#protocol/http-box.ts';
import type { Fire } from '../shared/components/icon.tsx';

/** What stands in the way of earning. `head.<name>.title` and `head.<name>.text` are its words. */
export const TROUBLES = [
  'unpaired',
  'pairing',
  'paused',
  'ejected',
  'nodisk',
  'unmarked',
  'absent',
  'foreign',
  'read_only',
  'failing',
  'connecting',
  'offline',
  'monthUsedUp',
  'full',
  'slow',
] as const;
export type Trouble = (typeof TROUBLES)[number];

/** How a box is that has no trouble. */
export type Wellbeing = 'serving' | 'downloading' | 'earning' | 'waiting';

/** The one thing to do about it, where there is one: a page to open, or something to press. */
export type Remedy = { page: 'storage' | 'network' } | { press: 'pair' | 'resume' | 'attach' };

export interface Headline {
  name: Trouble | Wellbeing;
  fire: Fire;
  /** The box's own words on why, where they add something. */
  reason: string | null;
  remedy: Remedy | null;
  /** Other troubles, the worst first: they come next. */
  others: Trouble[];
}

type Parts = Pick<BoxStatus, 'link' | 'disk' | 'serving' | 'holding' | 'uplink'>;

const REMEDIES: Partial<Record<Trouble, Remedy>> = {
  unpaired: { press: 'pair' },
  paused: { press: 'resume' },
  ejected: { press: 'attach' },
  nodisk: { page: 'storage' },
  unmarked: { page: 'storage' },
  foreign: { page: 'storage' },
  failing: { page: 'storage' },
  full: { page: 'storage' },
  monthUsedUp: { page: 'network' },
};

const FIRES: Record<Trouble, Fire> = {
  unpaired: 'embers',
  pairing: 'embers',
  paused: 'embers',
  ejected: 'embers',
  nodisk: 'embers',
  unmarked: 'cold',
  absent: 'cold',
  foreign: 'cold',
  read_only: 'cold',
  failing: 'cold',
  connecting: 'embers',
  offline: 'cold',
  monthUsedUp: 'embers',
  full: 'embers',
  slow: 'lit',
};

/**
 * Everything that is wrong, the worst first: pairing before everything, since nothing else matters until then; what
 * the household did itself before what happened to it; what only it can mend before what mends itself.
 */
export function troublesOf({ link, disk, uplink }: Parts): Trouble[] {
  const found = new Set<Trouble>();
  if (link.state !== 'online') found.add(link.state);
  if (uplink.pausedForMs !== null) found.add('paused');
  if (uplink.monthUsedUp) found.add('monthUsedUp');
  const ofDisk = diskTrouble(disk);
  if (ofDisk) found.add(ofDisk);
  return TROUBLES.filter((each) => found.has(each));
}

/** What is the matter with the disk; null: nothing. */
export function diskTrouble({ state, reason }: Pick<BoxStatus['disk'], 'state' | 'reason'>): Trouble | null {
  if (reason === 'ejected') return 'ejected';
  if (reason === 'none_chosen') return 'nodisk';
  if (reason === 'unmarked') return 'unmarked';
  return state === 'ok' ? null : state;
}

/** Says how the box is in one sentence, and the one thing to do. */
export function headline(status: Parts): Headline {
  const [worst, ...others] = troublesOf(status);
  if (worst === undefined) return { ...wellbeing(status), reason: null, remedy: null, others: [] };
  const reason = isOfLink(worst) ? status.link.problem : null;
  // While it is being paired nothing else is worth a thought.
  const alone = worst === 'unpaired' || worst === 'pairing';
  return {
    name: worst,
    fire: FIRES[worst],
    reason,
    remedy: REMEDIES[worst] ?? null,
    others: alone ? [] : others,
  };
}

/** What the disk's trouble is about is said by its own words, from `disk.reason`. */
function isOfLink(trouble: Trouble): boolean {
  return ['unpaired', 'pairing', 'connecting', 'offline'].includes(trouble);
}

function wellbeing({ serving, holding }: Parts): { name: Wellbeing; fire: Fire } {
  if (serving.connections > 0 && serving.bytesPerSecond > 0) return { name: 'serving', fire: 'blaze' };
  if (holding.downloading + holding.queued > 0) return { name: 'downloading', fire: 'lit' };
  return { name: holding.held > 0 ? 'earning' : 'waiting', fire: 'lit' };
}
