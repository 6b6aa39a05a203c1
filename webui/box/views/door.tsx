import type { ComponentChildren } from 'preact';
import { useState } from 'preact/hooks';
import { Button, Fault } from '../../shared/components/basics.tsx';
import { Field, Form } from '../../shared/components/form.tsx';
import { LoginDoor } from '../../shared/components/login.tsx';
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
  return (
    <LoginDoor
      name={t('app.name')}
      title={t('login.title')}
      lead={t('login.lead')}
      empty={t('login.empty')}
      wrong={t('login.wrong')}
      help={t('login.help')}
      logIn={logIn}
    />
  );
}
