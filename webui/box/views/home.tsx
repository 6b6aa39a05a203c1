import type { z } from 'zod';
import type { boxEarningsSchema } from '#protocol/http-box.ts';
import type { UplinkHistory } from '#protocol/uplink.ts';
import { Card, Loaded, Skeleton } from '../../shared/components/basics.tsx';
import { EarningsChart } from '../../shared/components/earnings-chart.tsx';
import { useQuery } from '../../shared/query.ts';
import { href } from '../../shared/router.ts';
import { daysOf } from '../charts.ts';
import { useActivity, useStatus } from '../live.ts';
import { api } from '../state.ts';
import { t } from '../text.ts';
import { ActivityLog } from './activity-log.tsx';
import { BookedDays } from './booked-days.tsx';
import { Disk } from './disk.tsx';
import { Hearth } from './hearth.tsx';
import { Holding } from './holding.tsx';
import { Pair } from './pair.tsx';

type EarningsAnswer = z.infer<typeof boxEarningsSchema>;

export function Home() {
  const status = useStatus();
  const earnings = useQuery<EarningsAnswer>(api, '/earnings', 5000);
  const activity = useActivity();
  return (
    <Loaded query={status} heights={[290, 180, 240]}>
      {(now) => (
        <>
          <Hearth status={now} earnings={earnings.data?.earnings} />
          {/* Kept while pairing is under way: the form is what tells that it was refused, and why. */}
          {now.link.state === 'unpaired' || now.link.state === 'pairing' ? (
            <div class="grid two">
              <Pair />
              <Disk status={now} link />
            </div>
          ) : (
            <div class="grid two">
              <Card title={t('nav.earnings')} aside={<a href={href('earnings')}>{t('earnings.all')}</a>}>
                {earnings.data ? <Recent answer={earnings.data} /> : <Skeleton heights={[206]} />}
              </Card>
              <Card title={t('activity.recent')} aside={<a href={href('activity')}>{t('activity.all')}</a>}>
                {activity.data ? (
                  <ActivityLog items={activity.data.items.slice(0, 4)} recent />
                ) : (
                  <Skeleton heights={[206]} />
                )}
              </Card>
              <Disk status={now} link />
              <Holding status={now} />
            </div>
          )}
        </>
      )}
    </Loaded>
  );
}

function Recent({ answer }: { answer: EarningsAnswer }) {
  const { earnings } = answer;
  const history = useQuery<UplinkHistory>(api, '/history', 30_000).data ?? null;
  if (earnings === null) return <p class="soft">{t('earnings.none.text')}</p>;
  return (
    <>
      <EarningsChart
        days={daysOf(14, earnings, history, Date.now()).map(({ at, ...day }) => ({ date: at, ...day }))}
        hint={t('chart.hint.days')}
        height={216}
      />
      <BookedDays earnings={earnings} timeZone={history?.timeZone} />
    </>
  );
}
