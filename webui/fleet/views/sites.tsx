import { useState } from 'preact/hooks';
import type { Site } from '#protocol/http-fleet.ts';
import { CellBar } from '../../shared/components/bars.tsx';
import { Button, Fault, toast } from '../../shared/components/basics.tsx';
import { Dialog, DialogActions } from '../../shared/components/dialog.tsx';
import { Field, Form } from '../../shared/components/form.tsx';
import { ListCard } from '../../shared/components/list.tsx';
import { formatBytes, formatCreditsFixed, formatNumber } from '../../shared/format.ts';
import { refreshQueries, useAction, useQuery } from '../../shared/query.ts';
import { href } from '../../shared/router.ts';
import { isHostname, isOrigin } from '../paths.ts';
import { api } from '../state.ts';
import { t } from '../text.ts';
import { AddPage, LIST_INTERVAL_MS } from './parts.tsx';

export function Sites() {
  const sites = useQuery<{ items: Site[] }>(api, '/sites', LIST_INTERVAL_MS);
  return (
    <AddPage
      title={t('nav.sites')}
      lead={t('sites.lead')}
      add={t('sites.add')}
      dialog={(onClose) => <AddSite onClose={onClose} />}
    >
      <ListCard query={sites} empty={{ title: t('sites.none.title'), text: t('sites.none.text') }}>
        {(items) => <SiteTable items={items} />}
      </ListCard>
    </AddPage>
  );
}

function SiteTable({ items }: { items: Site[] }) {
  const most = Math.max(...items.map((site) => site.deliveredBytes), 1);
  return (
    <table class="table">
      <thead>
        <tr>
          <th scope="col">{t('sites.site')}</th>
          <th scope="col">{t('sites.origin')}</th>
          <th scope="col">{t('sites.tenant')}</th>
          <th scope="col">{t('sites.assets')}</th>
          <th scope="col">{t('sites.delivered')}</th>
          <th scope="col">{t('sites.charged')}</th>
        </tr>
      </thead>
      <tbody>
        {items.map((site) => (
          <tr key={site.id}>
            <td class="lead break">
              {site.hostname}
              <div class="soft small">{site.url}</div>
            </td>
            <td data-label={t('sites.origin')} class="break">
              {site.origin}
            </td>
            <td data-label={t('sites.tenant')} class="break">
              {site.tenantName}
            </td>
            <td data-label={t('sites.assets')}>
              <a href={`${href('assets')}?site=${encodeURIComponent(site.id)}`}>
                {formatNumber(site.assets)}
                <span class="visually-hidden"> {`${t('sites.see')}: ${site.hostname}`}</span>
              </a>
            </td>
            <td data-label={t('sites.delivered')}>
              <CellBar
                text={formatBytes(site.deliveredBytes)}
                label={formatBytes(site.deliveredBytes)}
                value={site.deliveredBytes}
                total={most}
              />
            </td>
            <td data-label={t('sites.charged')}>{formatCreditsFixed(site.charged)}</td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}

function AddSite({ onClose }: { onClose: () => void }) {
  const [hostname, setHostname] = useState('');
  const [origin, setOrigin] = useState('');
  const [tenant, setTenant] = useState('');
  const [tried, setTried] = useState(false);
  const hostnameFine = isHostname(hostname.trim());
  const originFine = isOrigin(origin.trim());
  const action = useAction(async () => {
    await api.send('POST', '/sites', {
      hostname: hostname.trim(),
      origin: origin.trim(),
      ...(tenant.trim() === '' ? {} : { tenantName: tenant.trim() }),
    });
    toast(t('sites.added'));
    refreshQueries('/sites');
    onClose();
  });
  return (
    <Dialog title={t('sites.add')} onClose={onClose}>
      <Form
        onSubmit={() => {
          setTried(true);
          if (hostnameFine && originFine) action.run();
        }}
      >
        <Field
          label={t('sites.hostname')}
          name="hostname"
          value={hostname}
          onInput={setHostname}
          hint={t('sites.hostnameHint')}
          fault={tried && !hostnameFine ? t('sites.hostnameFault') : null}
        />
        <Field
          label={t('sites.origin')}
          name="origin"
          type="url"
          value={origin}
          onInput={setOrigin}
          hint={t('sites.originHint')}
          fault={tried && !originFine ? t('sites.originFault') : null}
        />
        <Field
          label={t('sites.tenant')}
          name="tenant"
          value={tenant}
          onInput={setTenant}
          hint={t('sites.tenantHint')}
          maxLength={80}
        />
        <Fault error={action.error} />
        <DialogActions onClose={onClose}>
          <Button type="submit" kind="primary" busy={action.busy}>
            {t('sites.add')}
          </Button>
        </DialogActions>
      </Form>
    </Dialog>
  );
}
