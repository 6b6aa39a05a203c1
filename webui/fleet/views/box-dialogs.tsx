import { useState } from 'preact/hooks';
import type { Box } from '#protocol/http-fleet.ts';
import { Button, Fault, toast } from '../../shared/components/basics.tsx';
import { Dialog, DialogActions } from '../../shared/components/dialog.tsx';
import { Field, Form } from '../../shared/components/form.tsx';
import { refreshQueries, useAction } from '../../shared/query.ts';
import { href, navigate } from '../../shared/router.ts';
import { api } from '../state.ts';
import { t } from '../text.ts';

const LABEL_CHARS_MAX = 80;

export function RenameBox({ box, onClose }: { box: Pick<Box, 'id' | 'label'>; onClose: () => void }) {
  const [label, setLabel] = useState(box.label);
  const fine = label.trim() !== '' && label.trim().length <= LABEL_CHARS_MAX;
  const action = useAction(async () => {
    await api.send('PATCH', `/boxes/${encodeURIComponent(box.id)}`, { label: label.trim() });
    refreshQueries('/boxes');
    onClose();
  });
  return (
    <Dialog title={t('box.rename')} onClose={onClose}>
      <Form
        onSubmit={() => {
          if (fine) action.run();
        }}
      >
        <Field
          label={t('box.rename.label')}
          name="label"
          value={label}
          onInput={setLabel}
          maxLength={LABEL_CHARS_MAX}
          fault={fine ? null : t('box.rename.fault')}
        />
        <Fault error={action.error} />
        <DialogActions onClose={onClose}>
          <Button type="submit" kind="primary" busy={action.busy}>
            {t('common.save')}
          </Button>
        </DialogActions>
      </Form>
    </Dialog>
  );
}

export function RevokeBox({ box, onClose }: { box: Pick<Box, 'id' | 'label'>; onClose: () => void }) {
  const action = useAction(async () => {
    await api.send('DELETE', `/boxes/${encodeURIComponent(box.id)}`);
    toast(t('box.revoked', { label: box.label }));
    navigate(href('boxes'));
  });
  return (
    <Dialog title={t('box.revoke.title', { label: box.label })} onClose={onClose}>
      <p>{t('box.revoke.text')}</p>
      <Fault error={action.error} />
      <DialogActions onClose={onClose}>
        <Button kind="danger primary" busy={action.busy} onClick={() => action.run()}>
          {t('box.revoke.button')}
        </Button>
      </DialogActions>
    </Dialog>
  );
}
