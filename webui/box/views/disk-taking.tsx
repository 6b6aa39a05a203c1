import { useState } from 'preact/hooks';
import type { BoxDisk, BoxStatus } from '#protocol/http-box.ts';
import { Button, Fault, Note } from '../../shared/components/basics.tsx';
import { Dialog } from '../../shared/components/dialog.tsx';
import { Check, Form } from '../../shared/components/form.tsx';
import { refreshQueries, useAction } from '../../shared/query.ts';
import { api } from '../state.ts';
import { t } from '../text.ts';

/** Adopting a disk reads what lies on it. */
const TAKE_TIMEOUT_MS = 60_000;

/** Why a disk is used only after a clear word. */
export type Doubt = 'foreign' | 'unmarked';

/** What is to be said yes to before a listed disk is used; null: nothing. */
export function doubtOf(state: BoxDisk['state'] | undefined): Doubt | null {
  return state === 'foreign' || state === 'unmarked' ? state : null;
}

/** The same for the disk at the folder the box looks at. */
export function doubtInUse({ state, reason }: BoxStatus['disk']): Doubt | null {
  if (reason === 'unmarked') return 'unmarked';
  return state === 'foreign' ? 'foreign' : null;
}

/** Has the box use the disk at this folder. @param adopt the household has agreed */
export async function takeDisk(mount: string, adopt: boolean): Promise<void> {
  await api.send('POST', '/disk', { mount, adopt }, TAKE_TIMEOUT_MS);
  for (const path of ['/disks', '/status', '/settings']) refreshQueries(path);
}

/** Says what it is about, and asks for the word. */
export function Agreement(props: { doubt: Doubt; checked: boolean; onChange: (checked: boolean) => void }) {
  const { doubt, checked, onChange } = props;
  return (
    <Note tone="warn">
      <p class="strong">{t(`disks.${doubt}.title`)}</p>
      <p>{t(`disks.${doubt}.text`)}</p>
      <Check label={t(`disks.${doubt}.agree`)} checked={checked} onChange={onChange} />
    </Note>
  );
}

/** Where nothing is to be picked: the disk at the folder that was set, after a clear word. */
export function TakeDialog(props: { doubt: Doubt; folder: string; onClose: () => void; onDone: () => void }) {
  const { doubt, folder, onClose, onDone } = props;
  const [agreed, setAgreed] = useState(false);
  const [tried, setTried] = useState(false);
  const action = useAction(async () => {
    await takeDisk(folder, true);
    onDone();
  });
  return (
    <Dialog title={t('wizard.disk.button')} onClose={onClose}>
      <Form
        onSubmit={() => {
          setTried(true);
          if (agreed) action.run();
        }}
      >
        <p class="soft">
          {t('storage.folder')}: <code>{folder}</code>
        </p>
        <Agreement doubt={doubt} checked={agreed} onChange={setAgreed} />
        {tried && !agreed ? (
          <p class="fault" role="alert">
            {t('disks.mustAgreeHere')}
          </p>
        ) : null}
        <Fault error={action.error} />
        <div class="actions">
          <Button onClick={onClose}>{t('common.cancel')}</Button>
          <Button type="submit" kind="primary" busy={action.busy}>
            {t('wizard.disk.button')}
          </Button>
        </div>
      </Form>
    </Dialog>
  );
}
