import { translator } from '../shared/i18n.ts';
import { sharedEn } from '../shared/messages/en.ts';
import { sharedZh } from '../shared/messages/zh.ts';
import { boxEn } from './messages/en.ts';
import { boxZh } from './messages/zh.ts';

/** Every text of the LAN dashboard. */
export const t = translator({ ...sharedEn, ...boxEn }, { ...sharedZh, ...boxZh });

/** Whether there is a text of that name: what the box says may be newer than this page. */
export function hasText(key: string): boolean {
  return Object.hasOwn(boxEn, key);
}
