import { useState } from 'preact/hooks';
import type { z } from 'zod';
import type { boxEarningsSchema } from '#protocol/http-box.ts';
import { Card, Empty, Loaded, Segments } from '../../shared/components/basics.tsx';
import { EarningLines, EarningTotals } from '../../shared/components/earnings.tsx';
import { EarningsChart } from '../../shared/components/earnings-chart.tsx';
import { formatDateTime } from '../../shared/format.ts';
import { useQuery } from '../../shared/query.ts';
import { api } from '../state.ts';
import { t } from '../text.ts';

export function EarningsPage() {
  const answer = useQuery<z.infer<typeof boxEarningsSchema>>(api, '/earnings', 5000);
  const [period, setPeriod] = useState<'7' | '30'>('30');
  return (
    <>
      <div class="page-head">
        <h1 tabIndex={-1}>{t('earnings.title')}</h1>
        <p>{t('earnings.lead')}</p>
      </div>
      <Loaded query={answer} heights={[280, 300]}>
        {({ earnings }) =>
          earnings === null ? (
            <Card>
              <Empty title={t('earnings.none.title')} text={t('earnings.none.text')} />
            </Card>
          ) : (
            <>
              <Card
                title={t('earnings.byDay')}
                aside={
                  <Segments
                    label={t('earnings.period')}
                    value={period}
                    onChange={setPeriod}
                    options={[
                      { value: '7', label: t('earnings.week') },
                      { value: '30', label: t('earnings.month') },
                    ]}
                  />
                }
              >
                <EarningsChart days={earnings.days.slice(-Number(period))} height={230} />
                <p class="soft small">{t('earnings.asOf', { time: formatDateTime(earnings.asOf) })}</p>
              </Card>
              <EarningTotals totals={earnings.totals} />
              <EarningLines lines={earnings.lines} />
            </>
          )
        }
      </Loaded>
    </>
  );
}
