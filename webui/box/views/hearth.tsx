import { useEffect, useState } from 'preact/hooks';
import type { BoxStatus } from '#protocol/http-box.ts';
import type { Earnings } from '#protocol/messages.ts';
import { Button, Fault, toast } from '../../shared/components/basics.tsx';
import { Mark } from '../../shared/components/icon.tsx';
import { LinkButton } from '../../shared/components/page.tsx';
import {
  formatBytes,
  formatCredits,
  formatCreditsShort,
  formatDay,
  formatNumber,
} from '../../shared/format.ts';
import { putQuery, refreshQueries, useAction } from '../../shared/query.ts';
import { href } from '../../shared/router.ts';
import { creditsOfToday } from '../charts.ts';
import { api, useSettings } from '../state.ts';
import { t } from '../text.ts';
import { headline, type Remedy } from '../troubles.ts';
import { formatMbit } from '../units.ts';

const PAUSE_MINUTES = 60;
/** Letting go of a disk, or taking it up, may take its time. */
const DISK_TIMEOUT_MS = 60_000;

/** The fireplace: one sentence on how the box is, one thing to do if any, four figures. */
export function Hearth({ status, earnings }: { status: BoxStatus; earnings: Earnings | null | undefined }) {
  const told = headline(status);
  const { name, fire, reason } = told;
  const line = useAction(async (method: 'POST' | 'DELETE') => {
    const now = await api.send<BoxStatus>(
      method,
      '/pause',
      method === 'POST' ? { minutes: PAUSE_MINUTES } : undefined,
    );
    putQuery<BoxStatus>('/status', () => now);
    refreshQueries('/uplink');
    toast(t(method === 'POST' ? 'pause.done' : 'pause.over'));
  });
  const attach = useAction(async () => {
    await api.send('POST', '/disk/attach', undefined, DISK_TIMEOUT_MS);
    refreshQueries('/status');
    refreshQueries('/disks');
  });
  const unpaired = name === 'unpaired' || name === 'pairing';
  return (
    <section class={`hearth ${fire}`}>
      <Mark fire={fire} />
      <div>
        <div aria-live="polite">
          <h1 tabIndex={-1}>{t(`head.${name}.title`)}</h1>
          <p>{t(`head.${name}.text`)}</p>
          {reason ? <p class="small">{t('head.reason', { reason })}</p> : null}
        </div>
        {status.uplink.pausedForMs === null ? null : <Countdown leftMs={status.uplink.pausedForMs} />}
        <div class="actions">
          <Act
            remedy={told.remedy}
            busy={line.busy || attach.busy}
            onResume={() => line.run('DELETE')}
            onAttach={() => attach.run()}
          />
          {unpaired || status.uplink.pausedForMs !== null ? null : (
            <Button kind="plain" icon="pause" busy={line.busy} onClick={() => line.run('POST')}>
              {t('pause.hour')}
            </Button>
          )}
        </div>
        <Fault error={line.error ?? attach.error} />
        {told.others.length > 0 ? (
          <ul class="hearth-others">
            {told.others.map((other) => (
              <li key={other}>{t(`head.${other}.title`)}</li>
            ))}
          </ul>
        ) : null}
      </div>
      {unpaired ? null : <Figures status={status} earnings={earnings} />}
    </section>
  );
}

function Act(props: { remedy: Remedy | null; busy: boolean; onResume: () => void; onAttach: () => void }) {
  const { remedy } = props;
  if (remedy === null) return null;
  if ('page' in remedy) return <LinkButton href={href(remedy.page)}>{t(`act.${remedy.page}`)}</LinkButton>;
  const press = {
    pair: () => document.querySelector<HTMLInputElement>('#pair input')?.focus(),
    resume: props.onResume,
    attach: props.onAttach,
  }[remedy.press];
  return (
    <Button busy={props.busy} onClick={press}>
      {t(`act.${remedy.press}`)}
    </Button>
  );
}

/** What is left of a pause, counted down between two answers of the box. */
export function Countdown({ leftMs }: { leftMs: number }) {
  const [endsAt, setEndsAt] = useState(() => performance.now() + leftMs);
  const [, redraw] = useState(0);
  useEffect(() => setEndsAt(performance.now() + leftMs), [leftMs]);
  useEffect(() => {
    const timer = setInterval(() => redraw((n) => n + 1), 1000);
    return () => clearInterval(timer);
  }, []);
  const seconds = Math.max(0, Math.ceil((endsAt - performance.now()) / 1000));
  const two = (value: number) => String(value).padStart(2, '0');
  const [hours, minutes] = [Math.floor(seconds / 3600), Math.floor((seconds % 3600) / 60)];
  const clock = `${hours > 0 ? `${hours}:` : ''}${hours > 0 ? two(minutes) : minutes}:${two(seconds % 60)}`;
  return (
    <p class="countdown" role="timer">
      {t('pause.left', { clock })}
    </p>
  );
}

function Figures({ status, earnings }: { status: BoxStatus; earnings: Earnings | null | undefined }) {
  const timeZone = useSettings().data?.timeZone ?? 'UTC';
  const today = creditsOfToday(earnings ?? null, timeZone, Date.now());
  return (
    <dl class="hearth-facts">
      <div>
        <dt>
          {today && !today.isToday
            ? t('head.earnedOn', { day: formatDay(today.date) })
            : t('head.earnedToday')}
        </dt>
        <dd title={today ? t('common.credits', { n: formatCredits(today.microCredits) }) : undefined}>
          {today ? (
            <>
              {formatCreditsShort(today.microCredits)} <small>{t('head.credits')}</small>
            </>
          ) : (
            <>
              – <small>{t('head.noEarnings')}</small>
            </>
          )}
        </dd>
      </div>
      <div>
        <dt>{t('head.speed')}</dt>
        <dd>
          {formatMbit(status.serving.bytesPerSecond)}{' '}
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
  );
}
