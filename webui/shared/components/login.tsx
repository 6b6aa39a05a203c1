import { useState } from 'preact/hooks';
import { ApiError } from '../api.ts';
import { useAction } from '../query.ts';
import { sharedText as t } from '../text.ts';
import { Button, Fault } from './basics.tsx';
import { Door } from './door.tsx';
import { Field, Form } from './form.tsx';

/** The page before one is let in: a password, and a name where there are several people. */
export function LoginDoor(props: {
  name: string;
  title: string;
  lead: string;
  /** What the field for the name is called; left out where there is one password for all. */
  username?: string;
  /** Said when something is not filled in, and when it is not right. */
  empty: string;
  wrong: string;
  help?: string;
  logIn: (password: string, username: string) => Promise<void>;
}) {
  const [username, setUsername] = useState('');
  const [password, setPassword] = useState('');
  const [tried, setTried] = useState(false);
  const action = useAction(props.logIn);
  const wrong = action.error instanceof ApiError && action.error.code === 'not_authenticated';
  const empty = password === '' || (props.username !== undefined && username.trim() === '');
  return (
    <Door name={props.name} title={props.title} lead={props.lead}>
      <Form
        onSubmit={() => {
          setTried(true);
          if (!empty) action.run(password, username.trim());
        }}
      >
        {props.username === undefined ? null : (
          <Field
            label={props.username}
            name="username"
            autocomplete="username"
            value={username}
            onInput={(value) => {
              setUsername(value);
              action.clear();
            }}
          />
        )}
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
          fault={wrong ? props.wrong : tried && empty ? props.empty : null}
        />
        {wrong ? null : <Fault error={action.error} />}
        <Button type="submit" kind="primary" busy={action.busy}>
          {t('common.login')}
        </Button>
        {props.help ? <p class="soft small">{props.help}</p> : null}
      </Form>
    </Door>
  );
}
