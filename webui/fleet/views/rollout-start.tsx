import { useState } from 'preact/hooks';
import type { Releases, RolloutDetail } from '#protocol/rollout.ts';
import { Button, Fault, Loaded, Note } from '../../shared/components/basics.tsx';
import { Dialog, DialogActions } from '../../shared/components/dialog.tsx';
import { Check, Field, Form, Select } from '../../shared/components/form.tsx';
import { formatDateTime } from '../../shared/format.ts';
import { refreshQueries, useAction, useQuery } from '../../shared/query.ts';
import { href, navigate } from '../../shared/router.ts';
import { faultsOf, type RolloutDraft, requestOf, SOAK_NAMES } from '../rollout-plan.ts';
import { api } from '../state.ts';
import { t } from '../text.ts';

const RELEASES_INTERVAL_MS = 30_000;
const HOURS = Array.from({ length: 24 }, (_, hour) => ({
  value: String(hour),
  label: `${String(hour).padStart(2, '0')}:00`,
}));

/** Begins a rollout of what has been published. */
export function StartRollout({ onClose }: { onClose: () => void }) {
  const releases = useQuery<Releases>(api, '/releases', RELEASES_INTERVAL_MS);
  return (
    <Dialog title={t('rollouts.start')} onClose={onClose}>
      <Loaded query={releases} heights={[260]}>
        {(found) =>
          found.releases.length === 0 ? (
            <>
              <Note>
                <p>{t('rollouts.noReleases')}</p>
              </Note>
              <DialogActions onClose={onClose} close={t('common.close')} />
            </>
          ) : (
            <StartForm releases={found} onClose={onClose} />
          )
        }
      </Loaded>
    </Dialog>
  );
}

function StartForm({ releases, onClose }: { releases: Releases; onClose: () => void }) {
  const [draft, setDraft] = useState<RolloutDraft>({
    version: releases.releases[0]?.version ?? '',
    waves: '5, 25, 100',
    soak: 'hour',
    success: '90',
    labels: '',
    window: null,
    rollBack: true,
  });
  const [tried, setTried] = useState(false);
  const change = (part: Partial<RolloutDraft>) => setDraft({ ...draft, ...part });
  const faults = faultsOf(draft);
  const { freshUntil } = releases;
  const action = useAction(async () => {
    const made = await api.send<RolloutDetail>('POST', '/rollouts', requestOf(draft));
    refreshQueries('/rollouts');
    navigate(href('rollouts', made.id));
  });
  return (
    <Form
      onSubmit={() => {
        setTried(true);
        if (requestOf(draft)) action.run();
      }}
    >
      <Select
        label={t('rollouts.version')}
        value={draft.version}
        onChange={(version) => change({ version })}
        options={releases.releases.map(({ version, artefacts }) => ({
          value: version,
          label: `${version} (${artefacts.map(({ architecture }) => architecture).join(', ')})`,
        }))}
      />
      {freshUntil ? (
        <p class="soft small">{t('rollouts.freshUntil', { time: formatDateTime(freshUntil) })}</p>
      ) : null}
      <Field
        label={t('rollouts.waves.field')}
        name="waves"
        value={draft.waves}
        onInput={(waves) => change({ waves })}
        hint={t('rollouts.waves.hint')}
        fault={tried && faults.waves ? t('rollouts.waves.fault') : null}
        maxLength={100}
      />
      <Select
        label={t('rollouts.soak')}
        value={draft.soak}
        onChange={(soak) => change({ soak })}
        options={SOAK_NAMES.map((name) => ({ value: name, label: t(`rollouts.soak.${name}`) }))}
      />
      <Field
        label={t('rollouts.success')}
        name="success"
        decimal
        value={draft.success}
        onInput={(success) => change({ success })}
        hint={t('rollouts.success.hint')}
        fault={tried && faults.success ? t('rollouts.success.fault') : null}
        maxLength={6}
      />
      <Field
        label={t('rollouts.labels')}
        name="labels"
        value={draft.labels}
        onInput={(labels) => change({ labels })}
        hint={t('rollouts.labels.hint')}
        maxLength={80}
      />
      <Check
        label={t('rollouts.window')}
        checked={draft.window !== null}
        onChange={(on) => change({ window: on ? { fromHour: 2, toHour: 5 } : null })}
      />
      {draft.window ? <Hours window={draft.window} onChange={(window) => change({ window })} /> : null}
      <Check
        label={t('rollouts.rollBack')}
        checked={draft.rollBack}
        onChange={(rollBack) => change({ rollBack })}
      />
      <Fault error={action.error} />
      <DialogActions onClose={onClose}>
        <Button type="submit" kind="primary" busy={action.busy}>
          {t('rollouts.start.do')}
        </Button>
      </DialogActions>
    </Form>
  );
}

type Window = NonNullable<RolloutDraft['window']>;

function Hours({ window, onChange }: { window: Window; onChange: (window: Window) => void }) {
  return (
    <div class="hours">
      <Select
        label={t('rollouts.window.from')}
        value={String(window.fromHour)}
        onChange={(hour) => onChange({ ...window, fromHour: Number(hour) })}
        options={HOURS}
      />
      <Select
        label={t('rollouts.window.to')}
        value={String(window.toHour)}
        onChange={(hour) => onChange({ ...window, toHour: Number(hour) })}
        options={HOURS}
      />
    </div>
  );
}
