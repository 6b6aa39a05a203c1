import { useState } from 'preact/hooks';
import type { z } from 'zod';
import type { boxEarningsSchema } from '#protocol/http-box.ts';
import type { Earnings } from '#protocol/messages.ts';
import type { UplinkHistory } from '#protocol/uplink.ts';
import { Card, Empty, Loaded, Note, Segments } from '../../shared/components/basics.tsx';
import { BarChart } from '../../shared/components/chart.tsx';
import { EarningLines, EarningTotals } from '../../shared/components/earnings.tsx';
import { Head } from '../../shared/components/page.tsx';
import {
  creditsForChart,
  formatBytes,
  formatCredits,
  formatCreditsShort,
  formatDateTime,
  formatDay,
  formatNumber,
} from '../../shared/format.ts';
import { useQuery } from '../../shared/query.ts';
import { estimateOf, type Measure, type Period, type Slot, slotsOf, sumOf } from '../charts.ts';
import { useStatus } from '../live.ts';
import { api } from '../state.ts';
import { t } from '../text.ts';
import { BookedDays } from './booked-days.tsx';

export function EarningsPage() {
  const answer = useQuery<z.infer<typeof boxEarningsSchema>>(api, '/earnings', 5_000);
  const history = useQuery<UplinkHistory>(api, '/history', 10_000);
  return (
    <>
      <Head title={t('nav.earnings')} lead={t('earnings.lead')} />
      <Loaded query={answer} heights={[340, 300]}>
        {({ earnings }) => (
          <>
            <Chart earnings={earnings} history={history.data ?? null} />
            {earnings === null ? (
              <Card>
                <Empty title={t('earnings.none.title')} text={t('earnings.none.text')} />
              </Card>
            ) : (
              <>
                <EarningTotals totals={earnings.totals} />
                <EarningLines lines={earnings.lines} />
                <p class="soft small">{t('earnings.asOf', { time: formatDateTime(earnings.asOf) })}</p>
              </>
            )}
          </>
        )}
      </Loaded>
    </>
  );
}

function Chart({ earnings, history }: { earnings: Earnings | null; history: UplinkHistory | null }) {
  const [period, setPeriod] = useState<Period>('7');
  const [wanted, setWanted] = useState<Measure>('credits');
  const slots = slotsOf(period, earnings, history, Date.now());
  // A fleet of before knows days, not hours.
  const priced = slots.every((slot) => slot.microCredits !== null);
  const measures: Measure[] = priced ? ['credits', 'bytes', 'requests'] : ['bytes', 'requests'];
  const measure = measures.includes(wanted) ? wanted : 'bytes';
  const sum = sumOf(slots);
  return (
    <Card
      title={t(`chart.of.${measure}`)}
      aside={
        <Segments
          label={t('earnings.period')}
          value={period}
          onChange={setPeriod}
          options={[
            { value: 'today', label: t('earnings.today') },
            { value: '7', label: t('earnings.week') },
            { value: '30', label: t('earnings.month') },
          ]}
        />
      }
    >
      <div class="chart-sum">
        <p class="figure">
          {measure === 'credits' ? (
            <>
              {formatCreditsShort(sum.microCredits)} <small>{t('earnings.settled')}</small>
            </>
          ) : measure === 'bytes' ? (
            formatBytes(sum.bytes)
          ) : (
            <>
              {formatNumber(sum.requests)} <small>{t('chart.requests.unit')}</small>
            </>
          )}
        </p>
        <Segments
          label={t('earnings.measure')}
          value={measure}
          onChange={setWanted}
          options={measures.map((value) => ({ value, label: t(`chart.measure.${value}`) }))}
        />
      </div>
      {measure === 'credits' ? <Pending earnings={earnings} /> : null}
      <BarChart
        caption={t(`chart.of.${measure}`)}
        columns={[
          t(period === 'today' ? 'chart.hour' : 'chart.day'),
          ...(priced ? [t('chart.credits')] : []),
          t('chart.bytes'),
          t('chart.requests'),
        ]}
        rows={slots.map((slot) => rowOf(slot, measure))}
        hint={t(
          period === 'today'
            ? measure === 'credits'
              ? 'chart.hint.settled'
              : 'chart.hint.hours'
            : 'chart.hint.days',
        )}
        empty={t('chart.nothing')}
        axis={axisOf(measure)}
        unit={measure === 'bytes' ? '' : t(measure === 'credits' ? 'head.credits' : 'chart.requests.unit')}
        height={240}
      />
      {period !== 'today' && measure === 'credits' ? (
        <BookedDays earnings={earnings} timeZone={history?.timeZone} />
      ) : null}
    </Card>
  );
}

/** What was served and is not in the books yet. */
function Pending({ earnings }: { earnings: Earnings | null }) {
  const bytes = useStatus().data?.unsettledBytes ?? 0;
  if (bytes === 0) return null;
  const estimate = estimateOf(bytes, earnings);
  return (
    <Note>
      <p>{t('earnings.pending', { n: formatBytes(bytes) })}</p>
      {estimate === null ? null : (
        <p class="soft small">{t('earnings.pending.estimate', { credits: formatCreditsShort(estimate) })}</p>
      )}
    </Note>
  );
}

function rowOf(slot: Slot, measure: Measure) {
  const name = typeof slot.at === 'number' ? `${String(slot.at).padStart(2, '0')}:00` : formatDay(slot.at);
  const credits = slot.microCredits === null ? [] : [formatCredits(slot.microCredits)];
  const cells = [...credits, formatBytes(slot.bytes), formatNumber(slot.requests)];
  const value = measure === 'credits' ? creditsForChart(slot.microCredits ?? '0') : slot[measure];
  const values = { at: name, bytes: formatBytes(slot.bytes), n: formatNumber(slot.requests) };
  const reading =
    slot.microCredits === null
      ? t('chart.reading.hour', values)
      : t('chart.reading.day', { ...values, credits: formatCredits(slot.microCredits) });
  return { name, value, cells, reading };
}

function axisOf(measure: Measure): (value: number) => string {
  if (measure === 'bytes') return formatBytes;
  if (measure === 'requests') return (value) => (Number.isInteger(value) ? formatNumber(value) : '');
  return (value) => formatNumber(value, value < 1 ? 4 : 2);
}
