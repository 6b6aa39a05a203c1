import type { RolloutList } from '#protocol/rollout.ts';
import { Card, When } from '../../shared/components/basics.tsx';
import { ListCard } from '../../shared/components/list.tsx';
import { formatNumber } from '../../shared/format.ts';
import { useQuery } from '../../shared/query.ts';
import { href } from '../../shared/router.ts';
import { api } from '../state.ts';
import { t } from '../text.ts';
import { AddPage, LIST_INTERVAL_MS } from './parts.tsx';
import { RolloutProgress, RolloutState } from './rollout-parts.tsx';
import { StartRollout } from './rollout-start.tsx';

/** Every rollout, newest first. */
export function Rollouts() {
  const rollouts = useQuery<RolloutList>(api, '/rollouts', LIST_INTERVAL_MS);
  return (
    <AddPage
      title={t('nav.rollouts')}
      lead={t('rollouts.lead')}
      add={t('rollouts.start')}
      dialog={(onClose) => <StartRollout onClose={onClose} />}
    >
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
                    <RolloutState state={rollout.state} />
                  </td>
                  <td data-label={t('rollouts.progress')} class="wide">
                    <div class="rollout-progress">
                      <RolloutProgress waves={rollout.waves} />
                    </div>
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
      <LeftOut groups={rollouts.data?.leftOut ?? []} />
    </AddPage>
  );
}

/** Boxes that no rollout reaches, and why: else they would only be missing from the figures. */
function LeftOut({ groups }: { groups: RolloutList['leftOut'] }) {
  if (groups.length === 0) return null;
  return (
    <Card title={t('rollouts.leftOut')}>
      {groups.map(({ why, count, boxes }) => (
        <div key={why}>
          <p>{t(`rollouts.leftOut.${why}.n`, { n: formatNumber(count) })}</p>
          <p class="small break">
            {boxes.map(({ id, label }, index) => (
              <span key={id}>
                {index > 0 ? ', ' : null}
                <a href={href('boxes', id)}>{label}</a>
              </span>
            ))}
            {boxes.length < count ? t('rollouts.leftOut.more') : null}
          </p>
        </div>
      ))}
    </Card>
  );
}
