import { useState } from 'preact/hooks';
import type { Asset, Site } from '#protocol/http-fleet.ts';
import { CellBar } from '../../shared/components/bars.tsx';
import { Button, Card, Empty, Loaded } from '../../shared/components/basics.tsx';
import { Field, Select } from '../../shared/components/form.tsx';
import { formatBytes, formatNumber } from '../../shared/format.ts';
import { usePages, useQuery } from '../../shared/query.ts';
import { href, navigate, route } from '../../shared/router.ts';
import { api, picked } from '../state.ts';
import { t } from '../text.ts';
import { AddAssets, PurgeAssets, UnassignAssets } from './asset-dialogs.tsx';
import { AssetState, Head, LIST_INTERVAL_MS, Reason } from './parts.tsx';

type StateFilter = Asset['state'] | '';
const STATES: Asset['state'][] = ['queued', 'reading', 'ready', 'failed', 'purged'];
/** Pages read at first, so that the search finds what is there: 1000 assets. */
const PAGES_AT_FIRST = 5;

export function Assets() {
  const siteId = route.value.query.get('site') ?? '';
  const [state, setState] = useState<StateFilter>('');
  const [wanted, setWanted] = useState('');
  const [pages, setPages] = useState(PAGES_AT_FIRST);
  const [dialog, setDialog] = useState<'add' | 'purge' | 'unassign' | null>(null);
  const sites = useQuery<{ items: Site[] }>(api, '/sites', 10_000);
  const query = new URLSearchParams();
  if (siteId) query.set('siteId', siteId);
  if (state) query.set('state', state);
  const assets = usePages<Asset>(api, `/assets?${query}`, LIST_INTERVAL_MS, pages);
  const chosen = picked.value;
  return (
    <>
      <Head title={t('nav.assets')} lead={t('assets.lead')}>
        <Button kind="primary" icon="plus" onClick={() => setDialog('add')}>
          {t('assets.add')}
        </Button>
      </Head>
      <Card>
        <div class="filters">
          <Select
            label={t('assets.site')}
            value={siteId}
            onChange={(id) =>
              navigate(id ? `${href('assets')}?site=${encodeURIComponent(id)}` : href('assets'))
            }
            options={[
              { value: '', label: t('assets.allSites') },
              ...(sites.data?.items ?? []).map((site) => ({ value: site.id, label: site.hostname })),
            ]}
          />
          <Select
            label={t('assets.state')}
            value={state}
            onChange={setState}
            options={[
              { value: '', label: t('assets.allStates') },
              ...STATES.map((each) => ({ value: each, label: t(`asset.state.${each}`) })),
            ]}
          />
          <Field label={t('assets.search')} type="search" value={wanted} onInput={setWanted} />
        </div>
        <Loaded query={assets} heights={[300]}>
          {({ items, next }) => {
            const found = items.filter((asset) => asset.path.toLowerCase().includes(wanted.toLowerCase()));
            return (
              <>
                {items.length === 0 && !state ? (
                  <Empty
                    title={t('assets.none.title')}
                    text={sites.data?.items.length === 0 ? t('assets.noSites') : t('assets.none.text')}
                  />
                ) : found.length === 0 ? (
                  <p class="soft">{t('assets.noMatch')}</p>
                ) : (
                  <AssetTable items={found} />
                )}
                {next === null ? null : (
                  <div class="actions">
                    <Button onClick={() => setPages(pages + PAGES_AT_FIRST)}>{t('common.more')}</Button>
                  </div>
                )}
              </>
            );
          }}
        </Loaded>
      </Card>
      {chosen.size > 0 ? (
        <section class="picking" aria-label={t('assets.picked.n', { n: formatNumber(chosen.size) })}>
          <span class="strong" aria-live="polite">
            {t('assets.picked.n', { n: formatNumber(chosen.size) })}
          </span>
          <div class="actions">
            <Button compact kind="plain" onClick={() => clearPicked()}>
              {t('assets.clear')}
            </Button>
            <Button compact kind="danger" onClick={() => setDialog('purge')}>
              {t('assets.purge')}
            </Button>
            <Button compact onClick={() => setDialog('unassign')}>
              {t('assets.unassign')}
            </Button>
            <Button compact kind="primary" onClick={() => navigate(href('assign'))}>
              {t('assets.push')}
            </Button>
          </div>
        </section>
      ) : null}
      {dialog === 'add' ? (
        <AddAssets sites={sites.data?.items ?? []} siteId={siteId} onClose={() => setDialog(null)} />
      ) : null}
      {dialog === 'purge' ? (
        <PurgeAssets assetIds={[...chosen]} onDone={clearPicked} onClose={() => setDialog(null)} />
      ) : null}
      {dialog === 'unassign' ? (
        <UnassignAssets assetIds={[...chosen]} onDone={clearPicked} onClose={() => setDialog(null)} />
      ) : null}
    </>
  );
}

function clearPicked(): void {
  picked.value = new Set();
}

function AssetTable({ items }: { items: Asset[] }) {
  const largest = Math.max(...items.map((asset) => asset.sizeBytes ?? 0), 1);
  const all = items.every((asset) => picked.value.has(asset.id));
  return (
    <table class="table picks">
      <thead>
        <tr>
          <th scope="col" class="cell-check">
            <input
              class="check"
              type="checkbox"
              aria-label={t('assets.pickAll')}
              checked={all}
              onChange={() => {
                const next = new Set(picked.value);
                for (const asset of items) {
                  if (all) next.delete(asset.id);
                  else next.add(asset.id);
                }
                picked.value = next;
              }}
            />
          </th>
          <th scope="col">{t('table.file')}</th>
          <th scope="col">{t('table.state')}</th>
          <th scope="col">{t('assets.size')}</th>
          <th scope="col">{t('assets.copies')}</th>
        </tr>
      </thead>
      <tbody>
        {items.map((asset) => (
          <tr key={asset.id}>
            <td class="cell-check">
              <input
                class="check"
                type="checkbox"
                aria-label={t('assets.pick', { path: asset.path })}
                checked={picked.value.has(asset.id)}
                onChange={() => {
                  const next = new Set(picked.value);
                  if (!next.delete(asset.id)) next.add(asset.id);
                  picked.value = next;
                }}
              />
            </td>
            <td class="lead break">
              <a href={href('assets', asset.id)}>{asset.path}</a>
              <div class="soft small">{asset.siteHostname}</div>
              <Reason reason={asset.error} />
            </td>
            <td data-label={t('table.state')}>
              <AssetState asset={asset} />
            </td>
            <td data-label={t('assets.size')}>
              {asset.sizeBytes === null ? (
                '–'
              ) : (
                <CellBar
                  text={formatBytes(asset.sizeBytes)}
                  label={formatBytes(asset.sizeBytes)}
                  value={asset.sizeBytes}
                  total={largest}
                  ink="still"
                />
              )}
            </td>
            <td data-label={t('assets.copies')}>
              {asset.wanted === 0 ? (
                <span class="soft">{t('assets.copies.none')}</span>
              ) : (
                <CellBar
                  text={copies(asset)}
                  label={copies(asset)}
                  value={asset.held}
                  total={asset.wanted}
                  ink="good"
                />
              )}
            </td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}

function copies(asset: Asset): string {
  return t('assets.copies.text', { held: formatNumber(asset.held), wanted: formatNumber(asset.wanted) });
}
