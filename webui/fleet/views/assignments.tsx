import { useState } from 'preact/hooks';
import type { Assignment } from '#protocol/http-fleet.ts';
import { Bar } from '../../shared/components/bars.tsx';
import { Badge, Segments, type Tone } from '../../shared/components/basics.tsx';
import { ListCard } from '../../shared/components/list.tsx';
import { formatDateTime, formatNumber } from '../../shared/format.ts';
import { usePages } from '../../shared/query.ts';
import { href } from '../../shared/router.ts';
import { type Push, type PushState, pushesOf, stateOf } from '../progress.ts';
import { api } from '../state.ts';
import { t } from '../text.ts';
import { Head, LinkButton } from './parts.tsx';

export const PUSH_TONES: Record<PushState, Tone> = {
  converged: 'good',
  running: 'live',
  trouble: 'bad',
  ended: 'plain',
};

export function Assignments() {
  const [shown, setShown] = useState<'open' | 'all'>('open');
  const [pages, setPages] = useState(1);
  const assignments = usePages<Assignment>(api, `/assignments?open=${shown === 'open'}`, 2000, pages);
  return (
    <>
      <Head title={t('nav.assignments')} lead={t('assignments.lead')}>
        <LinkButton href={href('assign')} kind="primary">
          {t('assign.new')}
        </LinkButton>
      </Head>
      <div>
        <Segments
          label={t('assignments.filter')}
          value={shown}
          onChange={setShown}
          options={[
            { value: 'open', label: t('assignments.open') },
            { value: 'all', label: t('assignments.all') },
          ]}
        />
      </div>
      <ListCard
        query={assignments}
        empty={{ title: t('assignments.none.title'), text: t('assignments.none.text') }}
        onMore={() => setPages(pages + 1)}
      >
        {(items) => (
          <ul>
            {pushesOf(items).map((push) => (
              <Row key={push.createdAt} push={push} />
            ))}
          </ul>
        )}
      </ListCard>
    </>
  );
}

function Row({ push }: { push: Push }) {
  const { progress } = push;
  const state = stateOf(push);
  const boxes = new Set(push.placements.map((placement) => placement.boxId)).size;
  const files = t('assignments.files.n', { n: formatNumber(push.assignments.length) });
  const text =
    state === 'ended'
      ? t('assignments.ended')
      : t('assignments.progress', {
          held: formatNumber(progress.held),
          wanted: formatNumber(progress.wanted),
        });
  return (
    <li class="watch-box">
      <div class="break">
        <a class="strong" href={href('assignments', push.createdAt)}>
          {push.assignments.length === 1 ? push.assignments[0]?.path : files}
        </a>{' '}
        <span class="soft">
          {push.assignments[0]?.siteHostname} {t('assignments.boxes.n', { n: formatNumber(boxes) })}
        </span>
      </div>
      <PushBadge push={push} />
      <PushBar push={push} />
      <span class="line soft small">
        {text} · {formatDateTime(push.createdAt)}
      </span>
    </li>
  );
}

export function PushBadge({ push }: { push: Push }) {
  const state = stateOf(push);
  return <Badge tone={PUSH_TONES[state]}>{t(`watch.${state}`)}</Badge>;
}

export function PushBar({ push, thick = false }: { push: Push; thick?: boolean }) {
  const { progress } = push;
  const arrived = progress.held === progress.wanted && progress.wanted > 0;
  return (
    <Bar
      size={thick ? 'thick' : ''}
      label={t('assignments.progress', {
        held: formatNumber(progress.held),
        wanted: formatNumber(progress.wanted),
      })}
      parts={[{ value: arrived ? 1 : progress.bytesDone, ink: arrived ? 'good' : 'ember' }]}
      total={arrived ? 1 : progress.bytesTotal}
    />
  );
}
