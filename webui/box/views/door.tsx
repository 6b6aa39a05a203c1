import type { ComponentChildren } from 'preact';
import { useState } from 'preact/hooks';
import { ApiError } from '../../shared/api.ts';
import { Button, Fault, LanguageSwitch } from '../../shared/components/basics.tsx';
import { Field, Form } from '../../shared/components/form.tsx';
import { Mark } from '../../shared/components/icon.tsx';
import { useAction } from '../../shared/query.ts';
import { logIn, setUp } from '../state.ts';
import { t } from '../text.ts';

const PASSWORD_CHARS_MIN = 10;

function Door(props: { title: string; lead: string; children: ComponentChildren }) {
  return (
    <main class="door">
      <div class="brand">
        <Mark />
        {t('app.name')}
      </div>
      <div class="card">
        <div class="door-lead">
          <h1>{props.title}</h1>
          <p class="soft">{props.lead}</p>
        </div>
        {props.children}
      </div>
      <LanguageSwitch />
    </main>
  );
}

/** First run: the household's password. */
export function Setup() {
  const [password, setPassword] = useState('');
  const [repeated, setRepeated] = useState('');
  const [tried, setTried] = useState(false);
  const action = useAction(setUp);
  const short = [...password].length < PASSWORD_CHARS_MIN;
  const differ = password !== repeated;
  return (
    <Door title={t('setup.title')} lead={t('setup.lead')}>
      <Form
        onSubmit={() => {
          setTried(true);
          if (!short && !differ) action.run(password);
        }}
      >
        <Field
          label={t('setup.password')}
          type="password"
          name="new-password"
          autocomplete="new-password"
          value={password}
          onInput={setPassword}
          hint={t('setup.hint')}
          fault={tried && short ? t('setup.short') : null}
        />
        <Field
          label={t('setup.repeat')}
          type="password"
          name="repeat-password"
          autocomplete="new-password"
          value={repeated}
          onInput={setRepeated}
          fault={tried && !short && differ ? t('setup.differ') : null}
        />
        <Fault error={action.error} />
        <Button type="submit" kind="primary" busy={action.busy}>
          {t('setup.button')}
        </Button>
      </Form>
    </Door>
  );
}

export function Login() {
  const [password, setPassword] = useState('');
  const [tried, setTried] = useState(false);
  const action = useAction(logIn);
  const wrong = action.error instanceof ApiError && action.error.code === 'not_authenticated';
  return (
    <Door title={t('login.title')} lead={t('login.lead')}>
      <Form
        onSubmit={() => {
          setTried(true);
          if (password !== '') action.run(password);
        }}
      >
        <Field
          label={t('common.password')}
          type="password"
          name="password"
          autocomplete="current-password"
          value={password}
          onInput={(value) => {
            setPassword(value);
            action.clear();
          }}
          fault={wrong ? t('login.wrong') : tried && password === '' ? t('login.empty') : null}
        />
        {wrong ? null : <Fault error={action.error} />}
        <Button type="submit" kind="primary" busy={action.busy}>
          {t('common.login')}
        </Button>
      </Form>
    </Door>
  );
}
