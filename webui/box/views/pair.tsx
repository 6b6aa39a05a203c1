import type { ComponentChildren } from 'preact';
import { useState } from 'preact/hooks';
import type { z } from 'zod';
import type { pairDefaultsSchema } from '#protocol/http-box.ts';
import { Button, Card, Fault, toast } from '../../shared/components/basics.tsx';
import { Field, Form } from '../../shared/components/form.tsx';
import { refreshQueries, useAction, useQuery } from '../../shared/query.ts';
import { isWholeClaimCode, tidyClaimCode } from '../claim-code.ts';
import { api } from '../state.ts';
import { t } from '../text.ts';

/** Enrolment asks a fleet far away and makes a key: longer than other requests. */
const PAIR_TIMEOUT_MS = 60_000;

/** The claim code and the fleet's address. */
export function PairForm({ beside }: { beside?: ComponentChildren }) {
  const defaults = useQuery<z.infer<typeof pairDefaultsSchema>>(api, '/pair', 60_000);
  const [code, setCode] = useState('');
  const [typedUrl, setTypedUrl] = useState<string | null>(null);
  const [tried, setTried] = useState(false);
  const url = (typedUrl ?? defaults.data?.fleetUrl ?? '').trim();
  const urlFine = /^https?:\/\/[^\s/]+/.test(url);
  const action = useAction(async () => {
    await api.send('POST', '/pair', { claimCode: code, fleetUrl: url }, PAIR_TIMEOUT_MS);
    toast(t('pair.done'));
    refreshQueries('/status');
  });
  return (
    <Form
      onSubmit={() => {
        setTried(true);
        if (isWholeClaimCode(code) && urlFine) action.run();
      }}
    >
      <Field
        label={t('pair.code')}
        name="claim-code"
        code
        value={code}
        placeholder="····-····-····"
        onInput={(value) => {
          setCode(tidyClaimCode(value));
          action.clear();
        }}
        hint={t('pair.codeHint')}
        fault={tried && !isWholeClaimCode(code) ? t('pair.codeFault') : null}
      />
      <Field
        label={t('pair.url')}
        name="fleet-url"
        type="url"
        value={typedUrl ?? defaults.data?.fleetUrl ?? ''}
        onInput={setTypedUrl}
        hint={t('pair.urlHint')}
        fault={tried && !urlFine ? t('pair.urlFault') : null}
      />
      <Fault error={action.error} />
      <div class="actions">
        {beside}
        <Button type="submit" kind="primary" busy={action.busy}>
          {t('pair.button')}
        </Button>
      </div>
    </Form>
  );
}

export function Pair() {
  return (
    <div id="pair">
      <Card title={t('pair.title')}>
        <p class="soft">{t('pair.lead')}</p>
        <PairForm />
      </Card>
    </div>
  );
}
