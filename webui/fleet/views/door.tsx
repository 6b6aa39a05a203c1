import { useState } from 'preact/hooks';
import { ApiError } from '../../shared/api.ts';
import { Button, Fault, Note } from '../../shared/components/basics.tsx';
import { Door } from '../../shared/components/door.tsx';
import { Field, Form } from '../../shared/components/form.tsx';
import { useAction } from '../../shared/query.ts';
import { logIn } from '../state.ts';
import { t } from '../text.ts';

export function Login() {
  const [username, setUsername] = useState('');
  const [password, setPassword] = useState('');
  const [tried, setTried] = useState(false);
  const action = useAction(logIn);
  const wrong = action.error instanceof ApiError && action.error.code === 'not_authenticated';
  const empty = username.trim() === '' || password === '';
  return (
    <Door name={t('app.name')} title={t('login.title')} lead={t('login.lead')}>
      <Form
        onSubmit={() => {
          setTried(true);
          if (!empty) action.run(username.trim(), password);
        }}
      >
        <Field
          label={t('login.username')}
          name="username"
          autocomplete="username"
          value={username}
          onInput={setUsername}
        />
        <Field
          label={t('common.password')}
          type="password"
          name="password"
          autocomplete="current-password"
          value={password}
          onInput={setPassword}
          fault={tried && empty ? t('login.empty') : null}
        />
        {wrong ? (
          <div role="alert">
            <Note tone="bad">
              <p>{t('login.wrong')}</p>
            </Note>
          </div>
        ) : (
          <Fault error={action.error} />
        )}
        <Button type="submit" kind="primary" busy={action.busy}>
          {t('common.login')}
        </Button>
      </Form>
    </Door>
  );
}
