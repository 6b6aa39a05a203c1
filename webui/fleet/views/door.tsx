import { LoginDoor } from '../../shared/components/login.tsx';
import { logIn } from '../state.ts';
import { t } from '../text.ts';

export function Login() {
  return (
    <LoginDoor
      name={t('app.name')}
      title={t('login.title')}
      lead={t('login.lead')}
      username={t('login.username')}
      empty={t('login.empty')}
      wrong={t('login.wrong')}
      logIn={(password, username) => logIn(username, password)}
    />
  );
}
