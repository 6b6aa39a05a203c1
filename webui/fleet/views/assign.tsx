import { useState } from 'preact/hooks';
import type { Asset, Assignment, Box, Site } from '#protocol/http-fleet.ts';
import { Button, Card, Fault, Loaded, Note } from '../../shared/components/basics.tsx';
import { Field, Form, Select } from '../../shared/components/form.tsx';
import { formatBytes, formatNumber } from '../../shared/format.ts';
import { refreshQueries, useAction, usePages, useQuery } from '../../shared/query.ts';
import { href, navigate } from '../../shared/router.ts';
import { isPrefix } from '../paths.ts';
import { api, picked } from '../state.ts';
import { t } from '../text.ts';
import { BoxChoice, type BoxChoiceValue } from './box-choice.tsx';
import { Head } from './parts.tsx';

const HOUR_MS = 3_600_000;
const TTLS = {
  none: null,
  hour: HOUR_MS,
  day: 24 * HOUR_MS,
  week: 7 * 24 * HOUR_MS,
  month: 30 * 24 * HOUR_MS,
  year: 365 * 24 * HOUR_MS,
} as const;
const TTL_NAMES = ['none', 'hour', 'day', 'week', 'month', 'year'] as const;
const PAGES = 10;

/** What, where, how long: then on to watching it. */
export function AssignPage() {
  const sites = useQuery<{ items: Site[] }>(api, '/sites', 10_000);
  const boxes = usePages<Box>(api, '/boxes', 5000, PAGES);
  return (
    <>
      <Head
        title={t('assign.title')}
        lead={t('assign.lead')}
        back={{ href: href('assignments'), text: t('assignments.back') }}
      />
      <Loaded query={sites} heights={[220, 220]}>
        {(found) =>
          found.items.length === 0 ? (
            <Card>
              <Note>
                <p>{t('assets.noSites')}</p>
              </Note>
            </Card>
          ) : (
            <AssignForm sites={found.items} boxes={boxes.data?.items ?? []} />
          )
        }
      </Loaded>
    </>
  );
}

function AssignForm({ sites, boxes }: { sites: Site[]; boxes: Box[] }) {
  const [byPick, setByPick] = useState(picked.value.size > 0);
  const [siteId, setSiteId] = useState(sites[0]?.id ?? '');
  const [prefix, setPrefix] = useState('/');
  const [where, setWhere] = useState<BoxChoiceValue>({ kind: 'count', count: '1', ids: new Set() });
  const [ttl, setTtl] = useState<(typeof TTL_NAMES)[number]>('none');
  const [tried, setTried] = useState(false);
  const assets = usePages<Asset>(
    api,
    byPick ? '/assets' : `/assets?siteId=${encodeURIComponent(siteId)}&state=ready`,
    5000,
    PAGES,
  );
  const what = (assets.data?.items ?? []).filter((asset) =>
    byPick ? picked.value.has(asset.id) : asset.path.startsWith(prefix),
  );
  const count = Number(where.count);
  const countFine = /^\d+$/.test(where.count) && count >= 1 && count <= 1000;
  const whereFine = where.kind === 'count' ? countFine : where.ids.size > 0;
  const whatFine = byPick ? picked.value.size > 0 : isPrefix(prefix) && what.length > 0;
  const action = useAction(async () => {
    const made = await api.send<{ items: Assignment[] }>(
      'POST',
      '/assignments',
      {
        assets: byPick ? { assetIds: [...picked.value] } : { siteId, prefix },
        boxes: where.kind === 'count' ? { count } : { boxIds: [...where.ids] },
        ttlMs: TTLS[ttl],
      },
      60_000,
    );
    picked.value = new Set();
    refreshQueries('/ass');
    const first = made.items[0];
    navigate(first ? href('assignments', first.createdAt) : href('assignments'));
  });
  return (
    <Form
      onSubmit={() => {
        setTried(true);
        if (whatFine && whereFine) action.run();
      }}
    >
      <Card title={t('assign.what')}>
        <div class="options" role="radiogroup" aria-label={t('assign.what')}>
          {picked.value.size > 0 ? (
            <label class="choice">
              <input type="radio" name="what" checked={byPick} onChange={() => setByPick(true)} />
              {t('assign.byPick')} ({formatNumber(picked.value.size)})
            </label>
          ) : null}
          <label class="choice">
            <input type="radio" name="what" checked={!byPick} onChange={() => setByPick(false)} />
            {t('assign.bySite')}
          </label>
          {byPick ? null : (
            <div class="nested">
              <Select
                label={t('assign.site')}
                value={siteId}
                onChange={setSiteId}
                options={sites.map((site) => ({ value: site.id, label: site.hostname }))}
              />
              <Field
                label={t('assign.prefix')}
                name="prefix"
                value={prefix}
                onInput={setPrefix}
                hint={t('assign.prefixHint')}
                fault={isPrefix(prefix) ? null : t('assign.prefixFault')}
              />
            </div>
          )}
        </div>
        <p aria-live="polite" class={what.length === 0 ? 'soft' : 'strong'}>
          {assets.data === undefined
            ? t('common.loading')
            : what.length === 0
              ? t('assign.what.none')
              : t('assign.what.sum.n', {
                  n: formatNumber(what.length),
                  bytes: formatBytes(what.reduce((sum, asset) => sum + (asset.sizeBytes ?? 0), 0)),
                })}
        </p>
      </Card>
      <Card title={t('assign.where')}>
        <BoxChoice boxes={boxes} value={where} onChange={setWhere} tried={tried} />
      </Card>
      <Card>
        <Select
          label={t('assign.ttl')}
          value={ttl}
          onChange={setTtl}
          options={TTL_NAMES.map((name) => ({ value: name, label: t(`assign.ttl.${name}`) }))}
        />
      </Card>
      <Fault error={action.error} />
      <div class="actions">
        <Button type="submit" kind="primary" icon="send" busy={action.busy}>
          {t('assign.button')}
        </Button>
      </div>
    </Form>
  );
}
