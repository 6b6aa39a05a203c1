import type { ComponentChildren } from 'preact';
import { useState } from 'preact/hooks';
import type { Rollout, RolloutAction, RolloutDetail } from '#protocol/rollout.ts';
import {
  Badge,
  Button,
  Card,
  Fact,
  Fault,
  Loaded,
  type Tone,
  When,
} from '../../shared/components/basics.tsx';
import { Dialog, DialogActions } from '../../shared/components/dialog.tsx';
import { formatDateTime, formatDuration, formatNumber, formatShare } from '../../shared/format.ts';
import { refreshQueries, useAction, useQuery } from '../../shared/query.ts';
import { href } from '../../shared/router.ts';
import { eventText, reasonText } from '../rollout-words.ts';
import { api } from '../state.ts';
import { t } from '../text.ts';
import { Head, LIST_INTERVAL_MS, Reason } from './parts.tsx';
import { RolloutProgress, RolloutState } from './rollout-parts.tsx';

const ACTIONS: Partial<Record<Rollout['state'], RolloutAction[]>> = {
  running: ['pause', 'halt', 'roll-back', 'cancel'],
  paused: ['resume', 'halt', 'roll-back', 'cancel'],
  halted: ['resume', 'roll-back', 'cancel'],
  rolling_back: ['cancel'],
  finished: ['roll-back'],
};

/** One rollout: its waves, its boxes, what happened. */
export function RolloutPage({ id }: { id: string }) {
  const query = useQuery<RolloutDetail>(api, `/rollouts/${encodeURIComponent(id)}`, LIST_INTERVAL_MS);
  return (
    <Loaded query={query} heights={[80, 200, 300]}>
      {(rollout) => (
        <>
          <Head
            title={t('rollouts.title', { version: rollout.version })}
            back={{ href: href('rollouts'), text: t('rollouts.back') }}
          >
            <Actions rollout={rollout} />
          </Head>
          <Waves rollout={rollout} />
          <Targets targets={rollout.targets} />
          <Plan rollout={rollout} />
          <Events events={rollout.events} />
        </>
      )}
    </Loaded>
  );
}

function Actions({ rollout }: { rollout: RolloutDetail }) {
  const { id, state, backTo } = rollout;
  const [asking, setAsking] = useState<'roll-back' | 'cancel' | null>(null);
  const act = useAction(async (action: RolloutAction) => {
    await api.send('POST', `/rollouts/${encodeURIComponent(id)}/${action}`);
    setAsking(null);
    refreshQueries('/rollouts');
  });
  const version = backTo ?? '';
  const possible = (ACTIONS[state] ?? []).filter((action) => action !== 'roll-back' || backTo !== null);
  const words = {
    'roll-back': {
      title: t('rollouts.do.roll-back', { version }),
      text: t('rollouts.ask', { version }),
      yes: t('rollouts.do.roll-back', { version }),
      no: t('common.cancel'),
    },
    cancel: {
      title: t('rollouts.cancel.title'),
      text: t(state === 'rolling_back' ? 'rollouts.cancel.askBack' : 'rollouts.cancel.ask'),
      yes: t('rollouts.cancel.do'),
      no: t('rollouts.cancel.keep'),
    },
  };
  return (
    <>
      {possible.map((action) =>
        action === 'roll-back' || action === 'cancel' ? (
          <Button key={action} onClick={() => setAsking(action)}>
            {action === 'cancel' ? t('rollouts.do.cancel') : words['roll-back'].title}
          </Button>
        ) : (
          <Button key={action} busy={act.busy} onClick={() => act.run(action)}>
            {t(`rollouts.do.${action}`)}
          </Button>
        ),
      )}
      {asking ? (
        <Dialog title={words[asking].title} onClose={() => setAsking(null)}>
          <p>{words[asking].text}</p>
          <Fault error={act.error} />
          <DialogActions onClose={() => setAsking(null)} close={words[asking].no}>
            <Button kind="primary" busy={act.busy} onClick={() => act.run(asking)}>
              {words[asking].yes}
            </Button>
          </DialogActions>
        </Dialog>
      ) : (
        <Fault error={act.error} />
      )}
    </>
  );
}

function Waves({ rollout }: { rollout: RolloutDetail }) {
  const { waves, wave, waveMetAt, state, reason } = rollout;
  return (
    <Card title={t('rollouts.waves')} aside={<RolloutState state={state} />}>
      {reason ? <p class="break">{t('rollouts.stopped', { why: reasonText(reason) })}</p> : null}
      <ol>
        {waves.map((each, index) => (
          <li key={index} class="watch-box">
            <span class="strong">
              {t('rollouts.wave', { n: formatNumber(index + 1), percent: formatNumber(each.percent, 2) })}
            </span>
            {index === wave && state === 'running' ? (
              <Badge tone="live">
                {waveMetAt
                  ? t('rollouts.wave.soaking', { time: formatDateTime(waveMetAt) })
                  : t('rollouts.wave.now')}
              </Badge>
            ) : null}
            <RolloutProgress waves={[each]} />
          </li>
        ))}
      </ol>
    </Card>
  );
}

type Target = RolloutDetail['targets'][number];
const TARGET_TONES: Record<Target['state'], Tone> = {
  pending: 'plain',
  ordered: 'live',
  updated: 'good',
  failed: 'bad',
  reverting: 'live',
  reverted: 'warn',
  dropped: 'plain',
};

function Targets({ targets }: { targets: Target[] }) {
  return (
    <Card title={t('rollouts.boxes')}>
      <table class="table">
        <thead>
          <tr>
            <th scope="col">{t('rollouts.box')}</th>
            <th scope="col">{t('rollouts.wave.column')}</th>
            <th scope="col">{t('rollouts.state')}</th>
            <th scope="col">{t('rollouts.runs')}</th>
            <th scope="col">{t('rollouts.why')}</th>
          </tr>
        </thead>
        <tbody>
          {targets.map((target) => (
            <tr key={target.boxId}>
              <td class="lead break">
                <a href={href('boxes', target.boxId)}>{target.label}</a>
              </td>
              <td data-label={t('rollouts.wave.column')}>{formatNumber(target.wave + 1)}</td>
              <td data-label={t('rollouts.state')}>
                <Badge tone={TARGET_TONES[target.state]}>{t(`rollouts.target.${target.state}`)}</Badge>
              </td>
              <td data-label={t('rollouts.runs')}>{target.version ?? '–'}</td>
              <td data-label={t('rollouts.why')}>{howItStands(target)}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </Card>
  );
}

const WAITS = ['time', 'disk', 'paused', 'link', 'window'] as const;

/** Why it failed, else how far it is by its own word. */
function howItStands({ reason, progress, online, state }: Target): ComponentChildren {
  if (reason) return <Reason reason={reason} />;
  if (!online && state !== 'updated' && state !== 'reverted') return t('rollouts.away');
  const isUnderWay = state === 'ordered' || state === 'reverting';
  if (!isUnderWay || !progress) return '–';
  switch (progress.state) {
    case 'downloading':
      return t('rollouts.at.downloading', { share: formatShare(progress.bytesDone, progress.sizeBytes) });
    case 'waiting': {
      const known = WAITS.find((code) => code === progress.reason?.code);
      if (known) return t(`rollouts.waits.${known}`);
      return progress.reason ? <Reason reason={progress.reason} /> : t('rollouts.at.waiting');
    }
    case 'installed':
    case 'trial':
      return t(`rollouts.at.${progress.state}`);
    default:
      return '–';
  }
}

/** What was asked for. */
function Plan({ rollout }: { rollout: RolloutDetail }) {
  const { plan, backTo, createdAt } = rollout;
  const { labels, architectures, boxIds } = plan.selector;
  const hour = (of: number) => `${String(of).padStart(2, '0')}:00`;
  return (
    <Card title={t('rollouts.plan')}>
      <dl class="facts">
        <Fact label={t('rollouts.begun')}>
          <When at={createdAt} />
        </Fact>
        <Fact label={t('rollouts.plan.for')}>
          {[
            labels ??
              (boxIds
                ? t('rollouts.plan.boxes.n', { n: formatNumber(boxIds.length) })
                : t('rollouts.plan.all')),
            architectures?.join(', '),
          ]
            .filter(Boolean)
            .join(' · ')}
        </Fact>
        <Fact label={t('rollouts.soak')}>
          {plan.soakMs === 0 ? t('rollouts.soak.none') : formatDuration(plan.soakMs)}
        </Fact>
        <Fact label={t('rollouts.success.fact')}>{formatNumber(plan.successPercent, 2)} %</Fact>
        <Fact label={t('rollouts.window.fact')}>
          {plan.window
            ? `${hour(plan.window.fromHour)}–${hour(plan.window.toHour)}`
            : t('rollouts.window.any')}
        </Fact>
        <Fact label={t('rollouts.plan.back')}>
          {backTo === null
            ? t('rollouts.plan.back.none')
            : t(plan.rollBack ? 'rollouts.plan.back.auto' : 'rollouts.plan.back.hand', { version: backTo })}
        </Fact>
      </dl>
    </Card>
  );
}

function Events({ events }: { events: RolloutDetail['events'] }) {
  return (
    <Card title={t('rollouts.events')}>
      <ul>
        {events.map((event, index) => {
          const { text, reason } = eventText(event);
          return (
            <li key={events.length - index} class="watch-box">
              <span class="break">{text}</span>
              <span class="soft small nowrap">
                <When at={event.at} />
              </span>
              <Reason reason={reason} />
            </li>
          );
        })}
      </ul>
    </Card>
  );
}
