import { useState } from 'preact/hooks';
import type { Asset, Assignment, Site } from '#protocol/http-fleet.ts';
import { Button, Card, Fact, Fault, Loaded, Note, toast, When } from '../../shared/components/basics.tsx';
import { explainReason } from '../../shared/errors.ts';
import { formatBytes, formatHttpDate, formatNumber } from '../../shared/format.ts';
import { useAction, usePages, useQuery } from '../../shared/query.ts';
import { href, navigate } from '../../shared/router.ts';
import { api, picked } from '../state.ts';
import { t } from '../text.ts';
import { PurgeAssets, UnassignAssets } from './asset-dialogs.tsx';
import { AssetState, Head, LIST_INTERVAL_MS } from './parts.tsx';
import { Placements } from './placements.tsx';

/** Open assignments are looked through for this asset's copies: 1000 of them. */
const ASSIGNMENT_PAGES = 5;

export function AssetPage({ id }: { id: string }) {
  const asset = useQuery<Asset>(api, `/assets/${encodeURIComponent(id)}`, 2000);
  const sites = useQuery<{ items: Site[] }>(api, '/sites', 30_000);
  const open = usePages<Assignment>(api, '/assignments?open=true', LIST_INTERVAL_MS, ASSIGNMENT_PAGES);
  const [dialog, setDialog] = useState<'purge' | 'unassign' | null>(null);
  const again = useAction(async () => {
    await api.send('POST', `/assets/${encodeURIComponent(id)}/ingest`);
    toast(t('asset.reingested'));
    asset.refresh();
  });
  const back = { href: href('assets'), text: t('asset.back') };
  const detail = asset.data;
  if (detail === undefined) {
    return (
      <>
        <Head title={t('table.file')} back={back} />
        <Loaded query={asset} heights={[220, 180]}>
          {() => null}
        </Loaded>
      </>
    );
  }
  const site = sites.data?.items.find((each) => each.id === detail.siteId);
  const placements = (open.data?.items ?? [])
    .flatMap((assignment) => assignment.placements)
    .filter((placement) => placement.assetId === id);
  const told = detail.error ? explainReason(detail.error.code, detail.error.message) : null;
  return (
    <>
      <Head title={detail.path} lead={detail.siteHostname} back={back}>
        <Button busy={again.busy} icon="refresh" onClick={() => again.run()}>
          {t('asset.reingest')}
        </Button>
        {detail.state === 'ready' ? (
          <Button
            kind="primary"
            onClick={() => {
              picked.value = new Set([id]);
              navigate(href('assign'));
            }}
          >
            {t('assets.push')}
          </Button>
        ) : null}
      </Head>
      <Fault error={again.error} />
      <Card title={t('asset.details')} aside={<AssetState asset={detail} />}>
        {told ? (
          <Note tone="bad">
            <p>{told.title}</p>
            {told.detail ? <p class="detail">{told.detail}</p> : null}
          </Note>
        ) : null}
        <dl class="facts">
          {detail.sizeBytes === null ? null : (
            <Fact label={t('assets.size')}>{formatBytes(detail.sizeBytes)}</Fact>
          )}
          {detail.chunks === null || detail.chunkSizeBytes === null ? null : (
            <Fact label={t('asset.chunks')}>
              {t('asset.chunks.text', {
                n: formatNumber(detail.chunks),
                size: formatBytes(detail.chunkSizeBytes),
              })}
            </Fact>
          )}
          {detail.headers ? (
            <>
              <Fact label={t('asset.type')}>{detail.headers.contentType}</Fact>
              {detail.headers.cacheControl ? (
                <Fact label={t('asset.cacheControl')}>{detail.headers.cacheControl}</Fact>
              ) : null}
              {detail.headers.lastModified ? (
                <Fact label={t('asset.lastModified')}>{formatHttpDate(detail.headers.lastModified)}</Fact>
              ) : null}
            </>
          ) : null}
          <Fact label={t('asset.created')}>
            <When at={detail.createdAt} />
          </Fact>
          {detail.ingestedAt ? (
            <Fact label={t('asset.ingested')}>
              <When at={detail.ingestedAt} />
            </Fact>
          ) : null}
          {site ? (
            <Fact label={t('asset.url')}>
              <a href={joinUrl(site.url, detail.path)} target="_blank" rel="noreferrer">
                {joinUrl(site.url, detail.path)}
              </a>
            </Fact>
          ) : null}
        </dl>
        {detail.sha256 ? (
          <dl class="facts">
            <Fact label={t('asset.sha')}>
              <code>{detail.sha256}</code>
            </Fact>
          </dl>
        ) : null}
      </Card>
      <Card title={t('asset.onBoxes')}>
        {placements.length === 0 ? (
          <p class="soft">{t('assets.copies.none')}</p>
        ) : (
          <Placements placements={placements} column="box" />
        )}
        <div class="actions">
          {placements.length > 0 ? (
            <Button compact onClick={() => setDialog('unassign')}>
              {t('assets.unassign')}
            </Button>
          ) : null}
          {detail.state === 'purged' ? null : (
            <Button compact kind="danger" onClick={() => setDialog('purge')}>
              {t('assets.purge')}
            </Button>
          )}
        </div>
      </Card>
      {dialog === 'purge' ? <PurgeAssets assetIds={[id]} onClose={() => setDialog(null)} /> : null}
      {dialog === 'unassign' ? <UnassignAssets assetIds={[id]} onClose={() => setDialog(null)} /> : null}
    </>
  );
}

function joinUrl(base: string, path: string): string {
  return `${base.replace(/\/$/, '')}${path.split('/').map(encodeURIComponent).join('/')}`;
}
