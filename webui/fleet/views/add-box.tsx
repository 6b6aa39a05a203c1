import { useEffect, useState } from 'preact/hooks';
import type { z } from 'zod';
import type { Box, claimSchema } from '#protocol/http-fleet.ts';
import { Button, Fault, Note } from '../../shared/components/basics.tsx';
import { Dialog, DialogActions } from '../../shared/components/dialog.tsx';
import { Field, Form } from '../../shared/components/form.tsx';
import { Spinner } from '../../shared/components/icon.tsx';
import { formatDateTime } from '../../shared/format.ts';
import { refreshQueries, useAction, usePages } from '../../shared/query.ts';
import { href } from '../../shared/router.ts';
import { api } from '../state.ts';
import { t } from '../text.ts';
import { CopyButton } from './parts.tsx';

type Claim = z.infer<typeof claimSchema>;

/** How many pages of boxes to look through for the one that comes: 2000 boxes. */
const PAGES = 10;

/** Makes a claim code, shows it, and tells when the box that used it has come. */
export function AddBox({ onClose }: { onClose: () => void }) {
  const [label, setLabel] = useState('');
  const [claim, setClaim] = useState<Claim | null>(null);
  const [before, setBefore] = useState<ReadonlySet<string> | null>(null);
  const boxes = usePages<Box>(api, '/boxes', 1500, PAGES);
  const action = useAction(async () => {
    const known = new Set(boxes.data?.items.map((box) => box.id));
    const made = await api.send<Claim>('POST', '/claims', label.trim() === '' ? {} : { label: label.trim() });
    setBefore(known);
    setClaim(made);
  });
  const came =
    claim && before
      ? boxes.data?.items.find(
          (box) => !before.has(box.id) && (claim.label === null || box.label === claim.label),
        )
      : undefined;
  useEffect(() => {
    if (came) refreshQueries('/boxes');
  }, [came?.id]);
  return (
    <Dialog title={t('claim.title')} onClose={onClose}>
      {claim === null ? (
        <Form onSubmit={() => action.run()}>
          <Field
            label={t('claim.label')}
            name="claim-label"
            value={label}
            onInput={setLabel}
            hint={t('claim.labelHint')}
            maxLength={80}
          />
          <Fault error={action.error} />
          <DialogActions onClose={onClose}>
            <Button
              type="submit"
              kind="primary"
              busy={action.busy}
              disabled={boxes.data === undefined && boxes.error === undefined}
            >
              {t('claim.make')}
            </Button>
          </DialogActions>
        </Form>
      ) : (
        <div class="claim">
          <p>{t('claim.lead')}</p>
          <div class="claim-code">
            <output aria-label={t('claim.codeIs')}>{claim.code}</output>
            <CopyButton text={claim.code} />
          </div>
          <div aria-live="polite">
            {came ? (
              <Note tone="good">
                <p>{t('claim.came', { label: came.label })}</p>
              </Note>
            ) : (
              <p class="waiting">
                <Spinner /> {t('claim.waiting')}
              </p>
            )}
          </div>
          {came ? null : (
            <p class="soft small">{t('claim.until', { time: formatDateTime(claim.expiresAt) })}</p>
          )}
          <DialogActions onClose={onClose} close={came ? t('claim.done') : t('common.close')}>
            {came ? (
              <a class="button primary" href={href('boxes', came.id)}>
                {t('claim.open')}
              </a>
            ) : null}
          </DialogActions>
        </div>
      )}
    </Dialog>
  );
}
