import { useState } from 'preact/hooks';
import type { z } from 'zod';
import type { apiTokenSchema, createdTokenSchema } from '#protocol/http-fleet.ts';
import { Button, Fault, toast, When } from '../../shared/components/basics.tsx';
import { Dialog, DialogActions } from '../../shared/components/dialog.tsx';
import { Field, Form } from '../../shared/components/form.tsx';
import { ListCard } from '../../shared/components/list.tsx';
import { useAction, useQuery } from '../../shared/query.ts';
import { api } from '../state.ts';
import { t } from '../text.ts';
import { AddPage, CopyButton } from './parts.tsx';

type Token = z.infer<typeof apiTokenSchema>;
type Created = z.infer<typeof createdTokenSchema>;

export function Tokens() {
  const tokens = useQuery<{ items: Token[] }>(api, '/tokens', 10_000);
  const [created, setCreated] = useState<Created | null>(null);
  const [deleting, setDeleting] = useState<Token | null>(null);
  return (
    <AddPage
      title={t('nav.tokens')}
      lead={t('tokens.lead')}
      add={t('tokens.make')}
      dialog={(onClose) => (
        <MakeToken
          onClose={onClose}
          onMade={(made) => {
            onClose();
            setCreated(made);
            tokens.refresh();
          }}
        />
      )}
    >
      <ListCard
        query={tokens}
        empty={{ title: t('tokens.none.title'), text: t('tokens.none.text') }}
        height={220}
      >
        {(items) => <TokenTable items={items} onDelete={setDeleting} />}
      </ListCard>
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
    </AddPage>
  );
}

function TokenTable({ items, onDelete }: { items: Token[]; onDelete: (token: Token) => void }) {
  return (
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
                onClick={() => onDelete(token)}
              >
                {t('tokens.delete')}
              </Button>
            </td>
          </tr>
        ))}
      </tbody>
    </table>
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
