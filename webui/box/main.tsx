import { render } from 'preact';
import { useEffect } from 'preact/hooks';
import './box.css';
import type { BoxStatus } from '#protocol/http-box.ts';
import { Fault, LanguageSwitch, LostBanner, Skeleton, Toasts } from '../shared/components/basics.tsx';
import { Icon, type IconName, Mark } from '../shared/components/icon.tsx';
import { startLanguage } from '../shared/i18n.ts';
import { startPoll } from '../shared/poll.ts';
import { useAction, useQuery } from '../shared/query.ts';
import { href, route, startRouter } from '../shared/router.ts';
import { api, logOut, readSession, session } from './state.ts';
import { t } from './text.ts';
import { ActivityPage } from './views/activity.tsx';
import { ContentPage } from './views/content.tsx';
import { Login, Setup } from './views/door.tsx';
import { EarningsPage } from './views/earnings.tsx';
import { Home } from './views/home.tsx';

const PAGES = [
  { name: 'home', icon: 'home', view: Home },
  { name: 'earnings', icon: 'coins', view: EarningsPage },
  { name: 'content', icon: 'files', view: ContentPage },
  { name: 'activity', icon: 'pulse', view: ActivityPage },
] as const satisfies { name: string; icon: IconName; view: unknown }[];

/** How often to look whether someone else changed our session: a reset, another tab's logout. */
const SESSION_INTERVAL_MS = 30_000;

function App() {
  useEffect(() => {
    const poll = startPoll({ run: readSession, intervalMs: SESSION_INTERVAL_MS, onError: () => {} });
    return poll.stop;
  }, []);
  return (
    <>
      <LostBanner />
      <Inside />
      <Toasts />
    </>
  );
}

function Inside() {
  const now = session.value;
  document.title = t('app.title');
  if (now === null) {
    return (
      <main class="shell">
        <Skeleton heights={[60, 290, 180]} />
      </main>
    );
  }
  if (now.setupNeeded) return <Setup />;
  if (!now.loggedIn) return <Login />;
  return <Dashboard />;
}

function Dashboard() {
  const name = route.value.segments[0] ?? 'home';
  const page = PAGES.find((candidate) => candidate.name === name) ?? PAGES[0];
  const status = useQuery<BoxStatus>(api, '/status', 5000);
  const leave = useAction(logOut);
  document.title = `${t(`nav.${page.name}`)} · ${t('app.title')}`;
  const View = page.view;
  return (
    <div class="shell">
      <button type="button" class="skip" onClick={() => document.getElementById('main')?.focus()}>
        {t('common.skip')}
      </button>
      <header class="top">
        <a class="brand" href={href()}>
          <Mark />
          <span>{status.data?.box.label ?? t('app.name')}</span>
        </a>
        <nav class="tabs" aria-label={t('nav.label')}>
          {PAGES.map((each) => (
            <a
              key={each.name}
              href={each.name === 'home' ? href() : href(each.name)}
              aria-current={each.name === page.name ? 'page' : undefined}
            >
              <Icon name={each.icon} />
              {t(`nav.${each.name}`)}
            </a>
          ))}
        </nav>
        <div class="top-actions">
          <LanguageSwitch />
          <button
            type="button"
            class="button plain compact"
            aria-label={t('common.logout')}
            title={t('common.logout')}
            onClick={() => leave.run()}
          >
            <Icon name="logout" />
          </button>
        </div>
      </header>
      <main id="main" tabIndex={-1}>
        <Fault error={leave.error} />
        <View />
      </main>
    </div>
  );
}

startLanguage();
startRouter();
const root = document.getElementById('app');
if (root) render(<App />, root);
