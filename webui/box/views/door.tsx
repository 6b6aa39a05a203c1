import type { ComponentChildren } from 'preact';
import { useState } from 'preact/hooks';
import { ApiError } from '../../shared/api.ts';
import { Button, Fault } from '../../shared/components/basics.tsx';
import { Door } from '../../shared/components/door.tsx';
import { Field, Form } from '../../shared/components/form.tsx';
import { useAction } from '../../shared/query.ts';
import { logIn } from '../state.ts';
import { t } from '../text.ts';

const PASSWORD_CHARS_MIN = 10;

/** A new password, twice; what else must be known comes before it. */
export function NewPassword(props: {
  button: string;
  save: (password: string) => Promise<void>;
  before?: ComponentChildren;
  beside?: ComponentChildren;
}) {
  const [password, setPassword] = useState('');
  const [repeated, setRepeated] = useState('');
  const [tried, setTried] = useState(false);
  const action = useAction(props.save);
  const short = [...password].length < PASSWORD_CHARS_MIN;
  const differ = password !== repeated;
  return (
    <Form
      onSubmit={() => {
        setTried(true);
        if (!short && !differ) action.run(password);
      }}
    >
      {props.before}
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
      <div class="actions">
        {props.beside}
        <Button type="submit" kind="primary" busy={action.busy}>
          {props.button}
        </Button>
      </div>
    </Form>
  );
}

export function Login() {
  const [password, setPassword] = useState('');
  const [tried, setTried] = useState(false);
  const action = useAction(logIn);
  const wrong = action.error instanceof ApiError && action.error.code === 'not_authenticated';
  return (
    <Door name={t('app.name')} title={t('login.title')} lead={t('login.lead')}>
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
