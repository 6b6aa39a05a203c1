import type { z } from 'zod';
import type { Activity, BoxStatus, boxEarningsSchema } from '#protocol/http-box.ts';
import { Card, Loaded, Skeleton } from '../../shared/components/basics.tsx';
import { EarningsChart } from '../../shared/components/earnings-chart.tsx';
import { Mark } from '../../shared/components/icon.tsx';
import {
  formatBytes,
  formatCredits,
  formatCreditsShort,
  formatDay,
  formatNumber,
  formatRate,
} from '../../shared/format.ts';
import { useQuery } from '../../shared/query.ts';
import { href } from '../../shared/router.ts';
import { headline } from '../headline.ts';
import { api } from '../state.ts';
import { t } from '../text.ts';
import { About } from './about.tsx';
import { ActivityLog } from './activity.tsx';
import { Holding } from './content.tsx';
import { Disk } from './disk.tsx';
import { Pair } from './pair.tsx';

type EarningsAnswer = z.infer<typeof boxEarningsSchema>;

export function Home() {
  const status = useQuery<BoxStatus>(api, '/status', 2000);
  const earnings = useQuery<EarningsAnswer>(api, '/earnings', 5000);
  const activity = useQuery<{ items: Activity[] }>(api, '/activity', 4000);
  return (
    <Loaded query={status} heights={[290, 180, 240]}>
      {(now) => (
        <>
          <Hearth status={now} earnings={earnings.data} />
          {/* Kept while pairing is under way: the form is what tells that it was refused, and why. */}
          {now.link.state === 'unpaired' || now.link.state === 'pairing' ? (
            <div class="grid two">
              <Pair />
              <Disk status={now} />
            </div>
          ) : (
            <div class="grid two">
              <Disk status={now} />
              <Holding status={now} />
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
            </div>
          )}
          <About status={now} />
        </>
      )}
    </Loaded>
  );
}

function Recent({ answer }: { answer: EarningsAnswer }) {
  const days = answer.earnings?.days ?? [];
  if (days.length === 0) return <p class="soft">{t('earnings.none.text')}</p>;
  return <EarningsChart days={days.slice(-14)} height={216} />;
}

/** The fireplace: one sentence on how the box is, one thing to do if any, four figures. */
function Hearth({ status, earnings }: { status: BoxStatus; earnings: EarningsAnswer | undefined }) {
  const { name, fire, reason } = headline(status);
  const today = earnings?.earnings?.days.at(-1);
  const isToday = today?.date === new Date().toISOString().slice(0, 10);
  return (
    <section class={`hearth ${fire}`} aria-live="polite" aria-atomic="false">
      <Mark fire={fire} />
      <div>
        <h1 tabIndex={-1}>{t(`head.${name}.title`)}</h1>
        <p>{t(`head.${name}.text`)}</p>
        {reason ? <p class="small">{t('head.reason', { reason })}</p> : null}
        {name === 'unpaired' ? (
          <button
            type="button"
            class="button"
            onClick={() => document.querySelector<HTMLInputElement>('#pair input')?.focus()}
          >
            {t('head.pairNow')}
          </button>
        ) : null}
      </div>
      {name === 'unpaired' || name === 'pairing' ? null : (
        <dl class="hearth-facts" aria-live="off">
          <div>
            <dt>
              {today && !isToday ? t('head.earnedOn', { day: formatDay(today.date) }) : t('head.earnedToday')}
            </dt>
            <dd title={today ? t('common.credits', { n: formatCredits(today.microCredits) }) : undefined}>
              {today ? (
                <>
                  {formatCreditsShort(today.microCredits)}{' '}
                  <small>{t('common.credits', { n: '' }).trim()}</small>
                </>
              ) : (
                <small>{t('head.noEarnings')}</small>
              )}
            </dd>
          </div>
          <div>
            <dt>{t('head.speed')}</dt>
            <dd>
              {formatRate(status.serving.bytesPerSecond)}{' '}
              <small>{t('head.viewers.n', { n: formatNumber(status.serving.connections) })}</small>
            </dd>
          </div>
          <div>
            <dt>{t('head.servedToday')}</dt>
            <dd>
              {formatBytes(status.serving.bytesToday)}{' '}
              <small>{t('head.requests.n', { n: formatNumber(status.serving.requestsToday) })}</small>
            </dd>
          </div>
          <div>
            <dt>{t('head.holding')}</dt>
            <dd>
              {formatBytes(status.holding.bytes)}{' '}
              <small>{t('head.files.n', { n: formatNumber(status.holding.held) })}</small>
            </dd>
          </div>
        </dl>
      )}
    </section>
  );
}
