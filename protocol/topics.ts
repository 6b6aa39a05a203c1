import { HearthError } from './errors.ts';
import { boxIdSchema } from './ids.ts';
import type { DownKind, UpKind } from './messages.ts';
import { DOWN_KINDS, UP_KINDS } from './messages.ts';

/** MQTT 3.1.1 topics: `hearth/v1/boxes/<box id>/<up|down>/<kind>`. A box may touch its own subtree only. */
const ROOT = 'hearth/v1/boxes';

/** The topic a box publishes `kind` on. */
export function upTopic(boxId: string, kind: UpKind): string {
  return `${ROOT}/${boxId}/up/${kind}`;
}

/** What every topic begins with that a box may publish on. */
export function upTopics(boxId: string): string {
  return `${ROOT}/${boxId}/up/`;
}

/** The topic the fleet publishes `kind` on. */
export function downTopic(boxId: string, kind: DownKind): string {
  return `${ROOT}/${boxId}/down/${kind}`;
}

/** The one filter a box subscribes to. */
export function downFilter(boxId: string): string {
  return `${ROOT}/${boxId}/down/+`;
}

/** The broker's levels, for `maxTopicLevels`. */
export const TOPIC_LEVELS = 6;

export type ParsedTopic =
  | { boxId: string; direction: 'up'; kind: UpKind }
  | { boxId: string; direction: 'down'; kind: DownKind };

/**
 * Takes a topic apart.
 * @throws HearthError `topic_unknown` for anything that is not one of ours
 */
export function parseTopic(topic: string): ParsedTopic {
  const [hearth, version, boxes, boxId, direction, kind, ...rest] = topic.split('/');
  if (
    hearth === 'hearth' &&
    version === 'v1' &&
    boxes === 'boxes' &&
    rest.length === 0 &&
    boxIdSchema.safeParse(boxId).success
  ) {
    if (direction === 'up' && isOneOf(UP_KINDS, kind)) return { boxId: boxId as string, direction, kind };
    if (direction === 'down' && isOneOf(DOWN_KINDS, kind)) return { boxId: boxId as string, direction, kind };
  }
  throw new HearthError('topic_unknown', `"${topic.slice(0, 120)}" is not a topic of this protocol`);
}

function isOneOf<T extends string>(list: readonly T[], value: string | undefined): value is T {
  return value !== undefined && (list as readonly string[]).includes(value);
}
