import { useState } from 'preact/hooks';
import type { Rollout, RolloutAction, RolloutDetail } from '#protocol/rollout.ts';
import { Bar } from '../../shared/components/bars.tsx';
import { Badge, Button, Card, Fault, Loaded, type Tone, When } from '../../shared/components/basics.tsx';
import { Dialog, DialogActions } from '../../shared/components/dialog.tsx';
import { ListCard } from '../../shared/components/list.tsx';
import { formatDateTime, formatNumber } from '../../shared/format.ts';
import { refreshQueries, useAction, useQuery } from '../../shared/query.ts';
import { href } from '../../shared/router.ts';
import { api } from '../state.ts';
import { t } from '../text.ts';
import { Head, LIST_INTERVAL_MS, Reason } from './parts.tsx';

const TONES: Record<Rollout['state'], Tone> = {
  running: 'live',
  paused: 'plain',
  halted: 'bad',
  rolling_back: 'bad',
  finished: 'good',
  rolled_back: 'bad',
  cancelled: 'plain',
};
const ACTIONS: Partial<Record<Rollout['state'], RolloutAction[]>> = {
  running: ['pause', 'halt', 'roll-back', 'cancel'],
  paused: ['resume', 'halt', 'roll-back', 'cancel'],
  halted: ['resume', 'roll-back', 'cancel'],
  finished: ['roll-back'],
};

/** Every rollout, newest first. */
export function Rollouts() {
  const rollouts = useQuery<{ items: Rollout[] }>(api, '/rollouts', LIST_INTERVAL_MS);
  return (
    <>
      <Head title={t('nav.rollouts')} lead={t('rollouts.lead')} />
      <ListCard query={rollouts} empty={{ title: t('rollouts.none.title'), text: t('rollouts.none.text') }}>
        {(items) => (
          <table class="table">
            <thead>
              <tr>
                <th scope="col">{t('rollouts.version')}</th>
                <th scope="col">{t('rollouts.state')}</th>
                <th scope="col">{t('rollouts.progress')}</th>
                <th scope="col">{t('rollouts.begun')}</th>
              </tr>
            </thead>
            <tbody>
              {items.map((rollout) => (
                <tr key={rollout.id}>
                  <td class="lead">
                    <a href={href('rollouts', rollout.id)}>{rollout.version}</a>
                  </td>
                  <td data-label={t('rollouts.state')}>
                    <Badge tone={TONES[rollout.state]}>{t(`rollouts.state.${rollout.state}`)}</Badge>
                  </td>
                  <td data-label={t('rollouts.progress')} class="wide">
                    <Progress waves={rollout.waves} />
                  </td>
                  <td data-label={t('rollouts.begun')}>
                    <When at={rollout.createdAt} />
                  </td>
                </tr>
              ))}
            </tbody>
          </table>
        )}
      </ListCard>
    </>
  );
}

/** Boxes of some waves, by how they stand, as one bar. */
function Progress({ waves }: { waves: Rollout['waves'] }) {
  const sum = (...states: (keyof Rollout['waves'][number]['counts'])[]) =>
    waves.reduce((total, { counts }) => total + states.reduce((part, state) => part + counts[state], 0), 0);
  const all = waves.reduce((total, { boxes }) => total + boxes, 0);
  const updated = sum('updated');
  const ordered = sum('ordered', 'reverting');
  const failed = sum('failed');
  const label = t('rollouts.progress.label', {
    updated: formatNumber(updated),
    failed: formatNumber(failed),
    ordered: formatNumber(ordered),
    all: formatNumber(all),
  });
  return (
    <>
      <Bar
        label={label}
        total={all}
        parts={[
          { value: updated, ink: 'good' },
          { value: ordered, ink: 'ember' },
          { value: failed, ink: 'bad' },
          { value: sum('reverted'), ink: 'warn' },
        ]}
      />
      <p class="soft small">{label}</p>
    </>
  );
}

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
    },
    cancel: {
      title: t('rollouts.cancel.title'),
      text: t('rollouts.cancel.ask'),
      yes: t('rollouts.cancel.do'),
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
          <Button key={action} onClick={() => act.run(action)}>
            {t(`rollouts.do.${action}`)}
          </Button>
        ),
      )}
      {asking ? (
        <Dialog title={words[asking].title} onClose={() => setAsking(null)}>
          <p>{words[asking].text}</p>
          <Fault error={act.error} />
          <DialogActions onClose={() => setAsking(null)}>
            <Button kind="primary" onClick={() => act.run(asking)}>
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
  const aside = <Badge tone={TONES[state]}>{t(`rollouts.state.${state}`)}</Badge>;
  return (
    <Card title={t('rollouts.waves')} aside={aside}>
      {reason ? <p class="break">{reason}</p> : null}
      <ol>
        {waves.map((each, index) => (
          <li key={index}>
            <p>
              {t('rollouts.wave', { n: formatNumber(index + 1), percent: formatNumber(each.percent) })}{' '}
              {index === wave && state === 'running' ? (
                <Badge tone="live">
                  {waveMetAt
                    ? t('rollouts.wave.soaking', { time: formatDateTime(waveMetAt) })
                    : t('rollouts.wave.now')}
                </Badge>
              ) : null}
            </p>
            <Progress waves={[each]} />
          </li>
        ))}
      </ol>
    </Card>
  );
}

function Targets({ targets }: { targets: RolloutDetail['targets'] }) {
  return (
    <Card title={t('rollouts.boxes')}>
      <table class="table">
        <thead>
          <tr>
            <th scope="col">{t('rollouts.box')}</th>
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
              <td data-label={t('rollouts.state')}>
                <Badge
                  tone={target.state === 'updated' ? 'good' : target.state === 'failed' ? 'bad' : 'plain'}
                >
                  {t(`rollouts.target.${target.state}`)}
                </Badge>
              </td>
              <td data-label={t('rollouts.runs')}>{target.version ?? '–'}</td>
              <td data-label={t('rollouts.why')}>
                <Reason reason={target.reason} />
              </td>
            </tr>
          ))}
        </tbody>
      </table>
    </Card>
  );
}

function Events({ events }: { events: RolloutDetail['events'] }) {
  return (
    <Card title={t('rollouts.events')}>
      <ul>
        {events.map((event, index) => (
          <li key={events.length - index} class="break">
            <When at={event.at} /> {t(`rollouts.event.${event.kind}`)}{' '}
            {event.boxLabel ?? event.operator ?? ''} <span class="soft small">{event.detail}</span>
          </li>
        ))}
      </ul>
    </Card>
  );
}
