import { useState } from 'preact/hooks';
import type { BoxDetail } from '#protocol/http-fleet.ts';
import { Button, Card, Fact, Fault, Loaded, Note, toast, When } from '../../shared/components/basics.tsx';
import { EarningLines, EarningTotals } from '../../shared/components/earnings.tsx';
import { EarningsChart } from '../../shared/components/earnings-chart.tsx';
import {
  formatBytes,
  formatDateTime,
  formatDuration,
  formatNumber,
  formatRate,
} from '../../shared/format.ts';
import { useAction, useQuery } from '../../shared/query.ts';
import { href } from '../../shared/router.ts';
import { api } from '../state.ts';
import { t } from '../text.ts';
import { Away } from './box-away.tsx';
import { RenameBox, RevokeBox } from './box-dialogs.tsx';
import { Checks, Commands, Hardware } from './box-reports.tsx';
import { BoxState, DiskBadge, Head, routeText } from './parts.tsx';
import { Placements } from './placements.tsx';

const ASKS = ['index', 'hardware', 'spot-check'] as const;

export function BoxPage({ id }: { id: string }) {
  const box = useQuery<BoxDetail>(api, `/boxes/${encodeURIComponent(id)}`, 2000);
  const [dialog, setDialog] = useState<'rename' | 'revoke' | null>(null);
  const ask = useAction(async (type: (typeof ASKS)[number]) => {
    await api.send('POST', `/boxes/${encodeURIComponent(id)}/commands`, { type });
    toast(t('box.asked'));
    box.refresh();
  });
  const back = { href: href('boxes'), text: t('box.back') };
  if (box.data === undefined) {
    return (
      <>
        <Head title={t('boxes.box')} back={back} />
        <Loaded query={box} heights={[200, 260, 260]}>
          {() => null}
        </Loaded>
      </>
    );
  }
  const detail = box.data;
  return (
    <>
      <Head title={detail.label} back={back}>
        <Button onClick={() => setDialog('rename')}>{t('box.rename')}</Button>
        <Button kind="danger" onClick={() => setDialog('revoke')}>
          {t('box.revoke')}
        </Button>
      </Head>
      <Now box={detail} />
      <Card title={t('box.ask')}>
        <div class="actions">
          {ASKS.map((type) => (
            <Button key={type} compact disabled={ask.busy} onClick={() => ask.run(type)}>
              {t(`box.ask.${type}`)}
            </Button>
          ))}
        </div>
        <Fault error={ask.error} />
      </Card>
      <Away box={detail} refresh={box.refresh} />
      <Card title={t('box.placements')}>
        <Placements placements={detail.placements} column="file" />
      </Card>
      <Card title={t('box.earnings')}>
        <EarningsChart days={detail.earnings.days} height={210} />
      </Card>
      <div class="grid two">
        <EarningTotals totals={detail.earnings.totals} />
        <Hardware hardware={detail.hardware} />
      </div>
      <EarningLines lines={detail.earnings.lines} />
      <Checks box={detail} />
      <Commands commands={detail.commands} />
      {dialog === 'rename' ? <RenameBox box={detail} onClose={() => setDialog(null)} /> : null}
      {dialog === 'revoke' ? <RevokeBox box={detail} onClose={() => setDialog(null)} /> : null}
    </>
  );
}

function Now({ box }: { box: BoxDetail }) {
  const beat = box.heartbeat;
  const why = routeText(box);
  return (
    <Card title={t('box.now')} aside={<BoxState box={box} />}>
      <div aria-live="polite">
        {why ? (
          <Note tone="warn">
            <p>
              {t('box.notRoutable')}: {why}
            </p>
          </Note>
        ) : (
          <Note tone="good">
            <p>{t(box.reachedBy === 'relay' ? 'box.relayed' : 'box.routable')}</p>
          </Note>
        )}
      </div>
      {box.certificate?.failingSince ? (
        <Note tone={hasRunOut(box.certificate) ? 'bad' : 'warn'}>
          <p>
            {t('box.cert.failing', {
              since: formatDateTime(box.certificate.failingSince),
              why: t(`box.cert.why.${box.certificate.problemCode ?? 'ca_refused'}`),
            })}
          </p>
          {box.certificate.problem ? <p class="soft small break">{box.certificate.problem}</p> : null}
          {box.certificate.expiresAt && !hasRunOut(box.certificate) ? <p>{t('box.cert.servesOn')}</p> : null}
        </Note>
      ) : null}
      {beat === null ? <p class="soft">{t('box.noHeartbeat')}</p> : null}
      <dl class="facts">
        {beat ? (
          <>
            <Fact label={t('box.speed')}>{formatRate(beat.serving.bytesPerSecond)}</Fact>
            <Fact label={t('box.connections')}>{formatNumber(beat.serving.connections)}</Fact>
            <Fact label={t('box.disk')}>
              <DiskBadge state={beat.store.state} />{' '}
              {t('box.diskFree', {
                free: formatBytes(beat.store.freeBytes),
                total: formatBytes(beat.store.totalBytes),
              })}
            </Fact>
            <Fact label={t('box.memory')}>{formatBytes(beat.rssBytes)}</Fact>
            <Fact label={t('box.load')}>{formatNumber(beat.load, 2)}</Fact>
            <Fact label={t('box.uptime')}>{formatDuration(beat.uptimeMs)}</Fact>
            <Fact label={t('box.address')}>{beat.contentUrl}</Fact>
          </>
        ) : null}
        <Fact label={t('box.seen')}>{box.lastSeenAt ? <When at={box.lastSeenAt} /> : t('common.never')}</Fact>
        {box.certificate ? <Fact label={t('box.cert')}>{certificateText(box.certificate)}</Fact> : null}
        <Fact label={t('box.enrolled')}>
          <When at={box.enrolledAt} />
        </Fact>
        <Fact label={t('box.version')}>{box.agentVersion ?? t('common.unknown')}</Fact>
        <Fact label={t('box.refused')}>{formatNumber(box.refusedMessages)}</Fact>
        <Fact label="ID">
          <code>{box.id}</code>
        </Fact>
      </dl>
      {box.noUpdates ? <p class="soft small">{t(`box.noUpdates.${box.noUpdates}`)}</p> : null}
    </Card>
  );
}

type Certificate = NonNullable<BoxDetail['certificate']>;

function hasRunOut({ expiresAt }: Certificate): boolean {
  return expiresAt !== null && Date.parse(expiresAt) <= Date.now();
}

function certificateText(certificate: Certificate): string {
  const { expiresAt } = certificate;
  if (expiresAt === null) return t('box.cert.none');
  return t(hasRunOut(certificate) ? 'box.cert.expired' : 'box.cert.until', {
    until: formatDateTime(expiresAt),
  });
}
