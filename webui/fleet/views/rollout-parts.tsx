import type { Rollout } from '#protocol/rollout.ts';
import { Bar } from '../../shared/components/bars.tsx';
import { Badge, type Tone } from '../../shared/components/basics.tsx';
import { formatNumber } from '../../shared/format.ts';
import { t } from '../text.ts';

const TONES: Record<Rollout['state'], Tone> = {
  running: 'live',
  paused: 'plain',
  halted: 'bad',
  rolling_back: 'bad',
  finished: 'good',
  rolled_back: 'warn',
  cancelled: 'plain',
};

export function RolloutState({ state }: Pick<Rollout, 'state'>) {
  return <Badge tone={TONES[state]}>{t(`rollouts.state.${state}`)}</Badge>;
}

/** Boxes of some waves, by how they stand, as one bar. */
export function RolloutProgress({ waves }: Pick<Rollout, 'waves'>) {
  const sum = (...states: (keyof Rollout['waves'][number]['counts'])[]) =>
    waves.reduce((total, { counts }) => total + states.reduce((part, state) => part + counts[state], 0), 0);
  const all = waves.reduce((total, { boxes }) => total + boxes, 0);
  const [updated, ordered, reverting, failed, reverted] = [
    sum('updated'),
    sum('ordered'),
    sum('reverting'),
    sum('failed'),
    sum('reverted'),
  ];
  const said = [
    t('rollouts.progress.updated', { updated: formatNumber(updated), all: formatNumber(all) }),
    ...(ordered > 0 ? [t('rollouts.progress.ordered', { n: formatNumber(ordered) })] : []),
    ...(reverting > 0 ? [t('rollouts.progress.reverting', { n: formatNumber(reverting) })] : []),
    ...(failed > 0 ? [t('rollouts.progress.failed', { n: formatNumber(failed) })] : []),
    ...(reverted > 0 ? [t('rollouts.progress.reverted', { n: formatNumber(reverted) })] : []),
  ].join(' · ');
  return (
    <>
      <Bar
        label={said}
        total={all}
        parts={[
          { value: updated, ink: 'good' },
          { value: ordered + reverting, ink: 'ember' },
          { value: failed, ink: 'bad' },
          { value: reverted, ink: 'warn' },
        ]}
      />
      <span class="line soft small">{said}</span>
    </>
  );
}
