import type { BoxStatus } from '#protocol/http-box.ts';
import { explainReason } from '../shared/errors.ts';
import { formatNumber } from '../shared/format.ts';
import { hasText, t } from './text.ts';

type Update = NonNullable<NonNullable<BoxStatus['update']>['last']>;

/** What came of the last update, or how the one under way stands, for the household. */
export interface UpdateNews {
  text: string;
  /** Why it failed or waits; null where nothing is to be said. */
  why: string | null;
}

/** Puts an update into words; null where there was none. */
export function updateNews(last: Update | null): UpdateNews | null {
  if (!last || last.state === 'idle') return null;
  const { version, state } = last;
  const why = whyOf(last);
  switch (state) {
    case 'updated':
      return { text: t('update.updated', { version }), why: null };
    case 'failed':
      return { text: t('update.failed', { version }), why };
    case 'downloading':
      return { text: t('update.downloading', { version, percent: percentOf(last) }), why: null };
    case 'waiting':
      return { text: t('update.waiting', { version }), why };
    case 'installed':
    case 'trial':
      return { text: t(`update.${state}`, { version }), why: null };
  }
}

function whyOf({ reason }: Update): string | null {
  if (!reason) return null;
  const key = `update.why.${/^(origin_|unavailable$|not_found$)/.test(reason.code) ? 'line' : reason.code}`;
  if (hasText(key)) return t(key as 'update.why.window');
  const { title, detail } = explainReason(reason.code, reason.message);
  return detail === null ? title : `${title} ${detail}`;
}

function percentOf({ bytesDone, sizeBytes }: Update): string {
  return formatNumber(sizeBytes === 0 ? 0 : Math.floor((100 * bytesDone) / sizeBytes));
}
