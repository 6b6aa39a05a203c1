import { translator } from './i18n.ts';
import { sharedEn } from './messages/en.ts';
import { sharedZh } from './messages/zh.ts';

/** Texts of the shared components. */
export const sharedText = translator(sharedEn, sharedZh);
