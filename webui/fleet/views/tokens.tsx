import { useState } from 'preact/hooks';
import type { z } from 'zod';
import type { apiTokenSchema, createdTokenSchema } from '#protocol/http-fleet.ts';
import { Button, Card, Empty, Fault, Loaded, toast, When } from '../../shared/components/basics.tsx';
import { Dialog, DialogActions } from '../../shared/components/dialog.tsx';
import { Field, Form } from '../../shared/components/form.tsx';
import { useAction, useQuery } from '../../shared/query.ts';
import { api } from '../state.ts';
import { t } from '../text.ts';
import { CopyButton, Head } from './parts.tsx';

type Token = z.infer<typeof apiTokenSchema>;
type Created = z.infer<typeof createdTokenSchema>;

export function Tokens() {
  const tokens = useQuery<{ items: Token[] }>(api, '/tokens', 10_000);
  const [making, setMaking] = useState(false);
  const [created, setCreated] = useState<Created | null>(null);
  const [deleting, setDeleting] = useState<Token | null>(null);
  return (
    <>
      <Head title={t('nav.tokens')} lead={t('tokens.lead')}>
        <Button kind="primary" icon="plus" onClick={() => setMaking(true)}>
          {t('tokens.make')}
        </Button>
      </Head>
      <Loaded query={tokens} heights={[220]}>
        {({ items }) => (
          <Card>
            {items.length === 0 ? (
              <Empty title={t('tokens.none.title')} text={t('tokens.none.text')} />
            ) : (
              <table class="table">
                <thead>
                  <tr>
                    <th scope="col">{t('tokens.name')}</th>
                    <th scope="col">{t('tokens.created')}</th>
                    <th scope="col">{t('tokens.used')}</th>
                    <th scope="col">
                      <span class="visually-hidden">{t('tokens.delete')}</span>
                    </th>
                  </tr>
                </thead>
                <tbody>
                  {items.map((token) => (
                    <tr key={token.id}>
                      <td class="lead break">{token.name}</td>
                      <td data-label={t('tokens.created')}>
                        <When at={token.createdAt} />
                      </td>
                      <td data-label={t('tokens.used')}>
                        {token.lastUsedAt ? <When at={token.lastUsedAt} /> : t('common.never')}
                      </td>
                      <td class="right">
                        <Button
                          compact
                          kind="danger"
                          label={`${t('tokens.delete')}: ${token.name}`}
                          onClick={() => setDeleting(token)}
                        >
                          {t('tokens.delete')}
                        </Button>
                      </td>
                    </tr>
                  ))}
                </tbody>
              </table>
            )}
          </Card>
        )}
      </Loaded>
      {making ? (
        <MakeToken
          onClose={() => setMaking(false)}
          onMade={(made) => {
            setMaking(false);
            setCreated(made);
            tokens.refresh();
          }}
        />
      ) : null}
      {created ? (
        <Dialog title={t('tokens.secret', { name: created.name })} onClose={() => setCreated(null)}>
          <div class="claim">
            <p>{t('tokens.secret.lead')}</p>
            <div class="claim-code">
              <output class="secret" aria-label={t('tokens.secret.label')}>
                {created.secret}
              </output>
              <CopyButton text={created.secret} />
            </div>
          </div>
          <DialogActions onClose={() => setCreated(null)} close={t('claim.done')} />
        </Dialog>
      ) : null}
      {deleting ? (
        <DeleteToken token={deleting} onClose={() => setDeleting(null)} onDone={tokens.refresh} />
      ) : null}
    </>
  );
}

function MakeToken({ onClose, onMade }: { onClose: () => void; onMade: (made: Created) => void }) {
  const [name, setName] = useState('');
  const [tried, setTried] = useState(false);
  const fine = name.trim() !== '' && name.trim().length <= 80;
  const action = useAction(async () => {
    onMade(await api.send<Created>('POST', '/tokens', { name: name.trim() }));
  });
  return (
    <Dialog title={t('tokens.make')} onClose={onClose}>
      <Form
        onSubmit={() => {
          setTried(true);
          if (fine) action.run();
        }}
      >
        <Field
          label={t('tokens.name')}
          name="token-name"
          value={name}
          onInput={setName}
          maxLength={80}
          hint={t('tokens.nameHint')}
          fault={tried && !fine ? t('tokens.nameFault') : null}
        />
        <Fault error={action.error} />
        <DialogActions onClose={onClose}>
          <Button type="submit" kind="primary" busy={action.busy}>
            {t('tokens.make')}
          </Button>
        </DialogActions>
      </Form>
    </Dialog>
  );
}

function DeleteToken(props: { token: Token; onClose: () => void; onDone: () => void }) {
  const action = useAction(async () => {
    await api.send('DELETE', `/tokens/${encodeURIComponent(props.token.id)}`);
    toast(t('tokens.deleted'));
    props.onDone();
    props.onClose();
  });
  return (
    <Dialog title={t('tokens.delete.title', { name: props.token.name })} onClose={props.onClose}>
      <p>{t('tokens.delete.text')}</p>
      <Fault error={action.error} />
      <DialogActions onClose={props.onClose}>
        <Button kind="danger primary" busy={action.busy} onClick={() => action.run()}>
          {t('tokens.delete')}
        </Button>
      </DialogActions>
    </Dialog>
  );
}
