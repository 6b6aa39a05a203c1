import { useState } from 'preact/hooks';
import type { z } from 'zod';
import type { changedSchema, Site } from '#protocol/http-fleet.ts';
import { Button, Fault, Note, toast } from '../../shared/components/basics.tsx';
import { Dialog, DialogActions } from '../../shared/components/dialog.tsx';
import { Field, Form, Select } from '../../shared/components/form.tsx';
import { formatNumber } from '../../shared/format.ts';
import { refreshQueries, useAction } from '../../shared/query.ts';
import { type PathsFault, readPaths } from '../paths.ts';
import { api } from '../state.ts';
import { t } from '../text.ts';

type Changed = z.infer<typeof changedSchema>;

export function AddAssets(props: { sites: Site[]; siteId: string; onClose: () => void }) {
  const [siteId, setSiteId] = useState(props.siteId || (props.sites[0]?.id ?? ''));
  const [text, setText] = useState('');
  const [tried, setTried] = useState(false);
  const read = readPaths(text);
  const action = useAction(async () => {
    if (!('paths' in read)) return;
    await api.send('POST', '/assets', { siteId, paths: read.paths });
    toast(t('assets.added.n', { n: formatNumber(read.paths.length) }));
    refreshQueries('/assets');
    props.onClose();
  });
  return (
    <Dialog title={t('assets.add')} onClose={props.onClose}>
      {props.sites.length === 0 ? (
        <>
          <Note>
            <p>{t('assets.noSites')}</p>
          </Note>
          <DialogActions onClose={props.onClose} close={t('common.close')} />
        </>
      ) : (
        <Form
          onSubmit={() => {
            setTried(true);
            if ('paths' in read) action.run();
          }}
        >
          <Select
            label={t('assets.site')}
            value={siteId}
            onChange={setSiteId}
            options={props.sites.map((site) => ({ value: site.id, label: site.hostname }))}
          />
          <Field
            label={t('assets.paths')}
            name="paths"
            rows={6}
            value={text}
            onInput={setText}
            placeholder={'/video/film.mp4\n/hls/index.m3u8'}
            hint={t('assets.pathsHint')}
            fault={tried && 'fault' in read ? faultText(read.fault) : null}
          />
          <Fault error={action.error} />
          <DialogActions onClose={props.onClose}>
            <Button type="submit" kind="primary" busy={action.busy}>
              {t('assets.add')}
            </Button>
          </DialogActions>
        </Form>
      )}
    </Dialog>
  );
}

function faultText(fault: PathsFault): string {
  if (fault.kind === 'empty') return t('assets.pathsEmpty');
  if (fault.kind === 'many') return t('assets.pathsMany', { n: formatNumber(fault.most) });
  return t('assets.pathsFault', { line: fault.line, path: fault.path });
}

interface ManyProps {
  assetIds: string[];
  onClose: () => void;
  onDone?: () => void;
}

export function PurgeAssets(props: ManyProps) {
  const action = useAction(async () => {
    const { changed } = await api.send<Changed>('POST', '/purge', { assets: { assetIds: props.assetIds } });
    toast(t('assets.purged.n', { n: formatNumber(changed) }));
    refreshQueries('/a');
    props.onDone?.();
    props.onClose();
  });
  return (
    <Dialog
      title={t('assets.purge.title.n', { n: formatNumber(props.assetIds.length) })}
      onClose={props.onClose}
    >
      <p>{t('assets.purge.text')}</p>
      <Fault error={action.error} />
      <DialogActions onClose={props.onClose}>
        <Button kind="danger primary" busy={action.busy} onClick={() => action.run()}>
          {t('assets.purge.button')}
        </Button>
      </DialogActions>
    </Dialog>
  );
}

export function UnassignAssets(props: ManyProps) {
  const action = useAction(async () => {
    const { changed } = await api.send<Changed>('POST', '/unassign', {
      assets: { assetIds: props.assetIds },
    });
    toast(t('assets.unassigned.n', { n: formatNumber(changed) }));
    refreshQueries('/a');
    props.onDone?.();
    props.onClose();
  });
  return (
    <Dialog
      title={t('assets.unassign.title.n', { n: formatNumber(props.assetIds.length) })}
      onClose={props.onClose}
    >
      <p>{t('assets.unassign.text')}</p>
      <Fault error={action.error} />
      <DialogActions onClose={props.onClose}>
        <Button kind="primary" busy={action.busy} onClick={() => action.run()}>
          {t('assets.unassign.button')}
        </Button>
      </DialogActions>
    </Dialog>
  );
}
