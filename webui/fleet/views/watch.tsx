import { useCallback, useEffect, useState } from 'preact/hooks';
import type { Assignment, Placement } from '#protocol/http-fleet.ts';
import { Bar } from '../../shared/components/bars.tsx';
import { Badge, Button, Card, Loaded } from '../../shared/components/basics.tsx';
import { formatBytes, formatDateTime, formatDuration, formatNumber } from '../../shared/format.ts';
import { usePages } from '../../shared/query.ts';
import { href } from '../../shared/router.ts';
import { convergedAfterMs, groupBy, type Push, progressOf, pushesOf, stateOf } from '../progress.ts';
import { api } from '../state.ts';
import { t } from '../text.ts';
import { UnassignAssets } from './asset-dialogs.tsx';
import { PushBar } from './assignments.tsx';
import { Head, Reason } from './parts.tsx';

/** Assignments are looked through from the newest on: 2000 of them. */
const PAGES = 10;
const LISTED_AT_MOST = 200;
const INTERVAL_MS = 1000;
const CALM_INTERVAL_MS = 5000;

/** One push, live: the whole, then box by box, then file by file. */
export function WatchPage({ createdAt }: { createdAt: string }) {
  const [calm, setCalm] = useState(false);
  // Newest first: what is older than this push need not be read.
  const passed = useCallback(
    (items: Assignment[]) => items.some((each) => each.createdAt < createdAt),
    [createdAt],
  );
  const assignments = usePages<Assignment>(
    api,
    '/assignments',
    calm ? CALM_INTERVAL_MS : INTERVAL_MS,
    PAGES,
    passed,
  );
  const found = pushesOf(assignments.data?.items ?? []).find((each) => each.createdAt === createdAt);
  const state = found ? stateOf(found) : null;
  useEffect(() => setCalm(state === 'converged' || state === 'ended'), [state]);
  const [removing, setRemoving] = useState(false);
  const back = { href: href('assignments'), text: t('assignments.back') };
  const made = Number.isNaN(Date.parse(createdAt)) ? '' : formatDateTime(createdAt);
  return (
    <Loaded query={assignments} heights={[80, 160, 300]}>
      {() => {
        const push = found;
        if (!push) {
          return (
            <>
              <Head title={t('watch.title', { time: made })} back={back} />
              <Card>
                <p class="soft">{t('error.not_found')}</p>
              </Card>
            </>
          );
        }
        const assetIds = push.assignments.map((assignment) => assignment.assetId);
        return (
          <>
            <Head title={t('watch.title', { time: made })} back={back}>
              {push.ended ? null : <Button onClick={() => setRemoving(true)}>{t('assets.unassign')}</Button>}
            </Head>
            <Whole push={push} />
            <Card title={t('watch.byBox')}>
              <ul>
                {groupBy(push.placements, (placement) => placement.boxId).map(([boxId, those]) => (
                  <BoxProgress key={boxId} boxId={boxId} placements={those} />
                ))}
              </ul>
            </Card>
            <Card title={t('watch.byFile')}>
              <ul>
                {push.assignments.slice(0, LISTED_AT_MOST).map((assignment) => (
                  <FileProgress key={assignment.id} assignment={assignment} />
                ))}
              </ul>
            </Card>
            {removing ? <UnassignAssets assetIds={assetIds} onClose={() => setRemoving(false)} /> : null}
          </>
        );
      }}
    </Loaded>
  );
}

function Whole({ push }: { push: Push }) {
  const { progress } = push;
  const state = stateOf(push);
  const counts = { held: formatNumber(progress.held), wanted: formatNumber(progress.wanted) };
  return (
    <Card>
      <div class="watch-head">
        <div aria-live="polite">
          <h2 class="figure">{t(`watch.${state}`)}</h2>
        </div>
        <PushBar push={push} thick />
        <p class="soft">
          {state === 'converged'
            ? t('watch.converged.text', {
                n: formatNumber(progress.wanted),
                duration: formatDuration(convergedAfterMs(push)),
              })
            : state === 'running'
              ? t('watch.running.text', counts)
              : state === 'trouble'
                ? t('watch.trouble.text.n', { n: formatNumber(progress.failed) })
                : t('watch.ended.text')}
        </p>
      </div>
    </Card>
  );
}

function BoxProgress({ boxId, placements }: { boxId: string; placements: Placement[] }) {
  const progress = progressOf(placements);
  const arrived = progress.held === progress.wanted;
  const text = t('watch.box.text', {
    held: formatNumber(progress.held),
    all: formatNumber(progress.wanted),
    done: formatBytes(progress.bytesDone),
    total: formatBytes(progress.bytesTotal),
  });
  const reasons = new Map(
    placements.flatMap((placement) => (placement.reason ? [[placement.reason.code, placement.reason]] : [])),
  );
  return (
    <li class="watch-box">
      <a class="strong break" href={href('boxes', boxId)}>
        {placements[0]?.boxLabel}
      </a>
      {progress.failed > 0 ? (
        <Badge tone="bad">{t('asset.failed')}</Badge>
      ) : arrived ? (
        <Badge tone="good">{t('asset.held')}</Badge>
      ) : progress.bytesDone > 0 ? (
        <Badge tone="live">{t('asset.downloading')}</Badge>
      ) : (
        <Badge>{t('asset.queued')}</Badge>
      )}
      <Bar
        label={text}
        parts={[{ value: arrived ? 1 : progress.bytesDone, ink: arrived ? 'good' : 'ember' }]}
        total={arrived ? 1 : progress.bytesTotal}
      />
      <span class="line soft small">{text}</span>
      {[...reasons.values()].slice(0, 3).map((reason) => (
        <Reason key={reason.code} reason={reason} />
      ))}
    </li>
  );
}

function FileProgress({ assignment }: { assignment: Assignment }) {
  const progress = progressOf(assignment.placements);
  const arrived = progress.held === progress.wanted;
  const text = t('assignments.progress', {
    held: formatNumber(progress.held),
    wanted: formatNumber(progress.wanted),
  });
  return (
    <li class="watch-box">
      <a class="break" href={href('assets', assignment.assetId)}>
        {assignment.path}
      </a>
      <span class="small soft nowrap">
        {formatNumber(progress.held)} / {formatNumber(progress.wanted)}
      </span>
      <Bar
        size="thin"
        label={text}
        parts={[{ value: arrived ? 1 : progress.bytesDone, ink: arrived ? 'good' : 'ember' }]}
        total={arrived ? 1 : progress.bytesTotal}
      />
    </li>
  );
}
