import { translator } from '../shared/i18n.ts';
import { sharedEn } from '../shared/messages/en.ts';
import { sharedZh } from '../shared/messages/zh.ts';
import { fleetEn } from './messages/en.ts';
import { fleetZh } from './messages/zh.ts';

/** Every text of the operator console. */
export const t = translator({ ...sharedEn, ...fleetEn }, { ...sharedZh, ...fleetZh });

/** Whether a key made from an answer's code is one of ours; what is not is shown as it came. */
export function hasText(key: string): key is keyof typeof fleetEn {
  return Object.hasOwn(fleetEn, key);
}
