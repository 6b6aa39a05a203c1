import { useEffect } from 'preact/hooks';
import './box.css';
import { Fault, LanguageSwitch, Skeleton, ThemeSwitch } from '../shared/components/basics.tsx';
import { Icon, Mark } from '../shared/components/icon.tsx';
import { SkipLink } from '../shared/components/page.tsx';
import { proposeLanguage } from '../shared/i18n.ts';
import { lazy } from '../shared/lazy.tsx';
import { useAction } from '../shared/query.ts';
import { href, route } from '../shared/router.ts';
import { startApp } from '../shared/start.tsx';
import { useLive, useStatus } from './live.ts';
import { PAGES, pageOf, sectionOf } from './pages.tsx';
import { logOut, readSession, session, useSettings } from './state.ts';
import { t } from './text.ts';
import { Login } from './views/door.tsx';

const SESSION_INTERVAL_MS = 30_000;

const loadWizard = () => import('./views/wizard/wizard.tsx');
const WizardOutside = lazy(async () => (await loadWizard()).WizardOutside, [60, 400]);
const Wizard = lazy(async () => (await loadWizard()).Wizard, [60, 400]);

function Inside() {
  const now = session.value;
  document.title = t('app.title');
  if (now === null) {
    return (
      <main class="waiting">
        <Skeleton heights={[60, 290, 180]} />
      </main>
    );
  }
  if (now.setupNeeded) return <WizardOutside />;
  if (!now.loggedIn) return <Login />;
  return <House />;
}

/** Inside: the first run until it is over, then the dashboard. */
function House() {
  const settings = useSettings();
  useLive();
  const spoken = settings.data?.language;
  useEffect(() => {
    // A phone that opens the box for the first time speaks as the household does.
    if (spoken) proposeLanguage(spoken === 'zh' ? 'zh-Hans' : 'en');
  }, [spoken]);
  if (settings.data === undefined) {
    return (
      <main class="waiting">
        {settings.error === undefined ? (
          <Skeleton heights={[60, 290, 180]} />
        ) : (
          <Fault error={settings.error} retry={settings.refresh} />
        )}
      </main>
    );
  }
  return settings.data.wizardDone ? <Dashboard /> : <Wizard settings={settings.data} />;
}

function Dashboard() {
  const page = pageOf(route.value);
  const section = sectionOf(page.name);
  const status = useStatus();
  const leave = useAction(logOut);
  document.title = `${t(`nav.${page.name}`)} · ${t('app.title')}`;
  const View = page.view;
  return (
    <div class="house">
      <SkipLink />
      <header class="side">
        <a class="brand" href={href()}>
          <Mark />
          <span>{status.data?.box.label ?? t('app.name')}</span>
        </a>
        <nav class="tabs" aria-label={t('nav.label')}>
          {PAGES.map((each) => (
            <a
              key={each.name}
              class={`${each.onPhone ? '' : 'wide-only'} ${each.name === 'more' ? 'phone-only' : ''}`}
              href={each.name === 'home' ? href() : href(each.name)}
              aria-current={each.name === page.name ? 'page' : each.name === section ? 'true' : undefined}
            >
              <Icon name={each.icon} />
              <span>{t(`nav.${each.name}`)}</span>
            </a>
          ))}
        </nav>
        <div class="side-actions">
          <LanguageSwitch />
          <ThemeSwitch />
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
        <View key={page.name} />
      </main>
    </div>
  );
}

startApp({ readSession, sessionIntervalMs: SESSION_INTERVAL_MS, Inside });
