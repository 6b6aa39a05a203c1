import type { Earnings } from '#protocol/messages.ts';
import { creditsForChart, formatBytes, formatCredits, formatDay, formatNumber } from '../format.ts';
import { sharedText as t } from '../text.ts';
import { BarChart } from './chart.tsx';

/** Credits by day, UTC's unless `hint` says what they are. The figures are the fleet's own; floats are used for the height of a bar and nothing else. */
export function EarningsChart(props: { days: Earnings['days']; hint?: string; height?: number }) {
  const { days, hint, height } = props;
  return (
    <BarChart
      caption={t('chart.table')}
      columns={[t('chart.day'), t('chart.credits'), t('chart.bytes'), t('chart.requests')]}
      hint={hint ?? t('chart.hint')}
      empty={t('chart.empty')}
      unit={t('chart.credits.unit')}
      axis={(value) => formatNumber(value, value < 1 ? 4 : 2)}
      height={height}
      rows={days.map((day) => ({
        name: formatDay(day.date),
        value: creditsForChart(day.microCredits),
        cells: [formatCredits(day.microCredits), formatBytes(day.bytes), formatNumber(day.requests)],
        reading: t('chart.reading', {
          day: formatDay(day.date),
          credits: formatCredits(day.microCredits),
          bytes: formatBytes(day.bytes),
        }),
      }))}
    />
  );
}
