import type { Earnings } from '#protocol/messages.ts';
import { daysEndAt } from '../charts.ts';
import { t } from '../text.ts';

/** Says that a day of credits is none of the household's, where that is so. @param timeZone undefined: not known */
export function BookedDays(props: { earnings: Earnings | null; timeZone: string | undefined }) {
  const { earnings, timeZone } = props;
  const time = timeZone === undefined ? null : daysEndAt(earnings, timeZone, Date.now());
  return time === null ? null : <p class="soft small">{t('chart.utcDays', { time })}</p>;
}
