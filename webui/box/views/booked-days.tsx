import { utcDayEnds } from '../charts.ts';
import { t } from '../text.ts';

/** Says that a day of credits is none of the household's, where that is so. @param timeZone undefined: not known */
export function BookedDays({ timeZone }: { timeZone: string | undefined }) {
  const time = timeZone === undefined ? null : utcDayEnds(timeZone, Date.now());
  return time === null ? null : <p class="soft small">{t('chart.utcDays', { time })}</p>;
}
