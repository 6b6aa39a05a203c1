import type { VNode } from 'preact';
import { useState } from 'preact/hooks';
import './fleet.css';
import { Fault, LanguageSwitch, Skeleton, ThemeSwitch } from '../shared/components/basics.tsx';
import { Icon, type IconName, Mark } from '../shared/components/icon.tsx';
import { SkipLink } from '../shared/components/page.tsx';
import { useAction } from '../shared/query.ts';
import { href, type Route, route } from '../shared/router.ts';
import { startApp } from '../shared/start.tsx';
import { logOut, readSession, session } from './state.ts';
import { t } from './text.ts';
import { AssetPage } from './views/asset.tsx';
import { Assets } from './views/assets.tsx';
import { AssignPage } from './views/assign.tsx';
import { Assignments } from './views/assignments.tsx';
import { BoxPage } from './views/box.tsx';
import { Boxes } from './views/boxes.tsx';
import { Login } from './views/door.tsx';
import { Ledger } from './views/ledger.tsx';
import { Overview } from './views/overview.tsx';
import { RolloutPage } from './views/rollout.tsx';
import { Rollouts } from './views/rollouts.tsx';
import { Sites } from './views/sites.tsx';
import { Tokens } from './views/tokens.tsx';
import { WatchPage } from './views/watch.tsx';

const NAVIGATION = [
  { name: 'overview', icon: 'gauge' },
  { name: 'boxes', icon: 'box' },
  { name: 'sites', icon: 'globe' },
  { name: 'assets', icon: 'files' },
  { name: 'assignments', icon: 'send' },
  { name: 'rollouts', icon: 'refresh' },
  { name: 'ledger', icon: 'ledger' },
  { name: 'tokens', icon: 'key' },
] as const satisfies { name: string; icon: IconName }[];

type Section = (typeof NAVIGATION)[number]['name'];

const SESSION_INTERVAL_MS = 60_000;

function pageOf({ segments: [first, second] }: Route): { section: Section; page: VNode } {
  switch (first) {
    case 'boxes':
      return { section: 'boxes', page: second ? <BoxPage key={second} id={second} /> : <Boxes /> };
    case 'sites':
      return { section: 'sites', page: <Sites /> };
    case 'assets':
      return { section: 'assets', page: second ? <AssetPage key={second} id={second} /> : <Assets /> };
    case 'assign':
      return { section: 'assignments', page: <AssignPage /> };
    case 'assignments':
      return {
        section: 'assignments',
        page: second ? <WatchPage key={second} createdAt={second} /> : <Assignments />,
      };
    case 'rollouts':
      return { section: 'rollouts', page: second ? <RolloutPage key={second} id={second} /> : <Rollouts /> };
    case 'ledger':
      return { section: 'ledger', page: <Ledger /> };
    case 'tokens':
      return { section: 'tokens', page: <Tokens /> };
    default:
      return { section: 'overview', page: <Overview /> };
  }
}

function Inside() {
  document.title = t('app.title');
  if (session.value === undefined) {
    return (
      <main class="work">
        <Skeleton heights={[60, 160, 300]} />
      </main>
    );
  }
  if (session.value === null) return <Login />;
  return <Console username={session.value.username} />;
}

function Console({ username }: { username: string }) {
  const { section, page } = pageOf(route.value);
  const [open, setOpen] = useState(false);
  const leave = useAction(logOut);
  document.title = `${t(`nav.${section}`)} · ${t('app.title')}`;
  return (
    <div class="console">
      <SkipLink />
      <header class="side">
        <div class="side-head">
          <a class="brand" href={href()}>
            <Mark />
            {t('app.name')}
          </a>
          <button
            type="button"
            class="button plain compact"
            aria-expanded={open}
            aria-controls="side-body"
            aria-label={t('common.menu')}
            onClick={() => setOpen(!open)}
          >
            <Icon name="menu" />
          </button>
        </div>
        <div id="side-body" class={`side-body ${open ? 'open' : ''}`}>
          <nav aria-label={t('nav.label')}>
            {NAVIGATION.map(({ name, icon }) => (
              <a
                key={name}
                href={name === 'overview' ? href() : href(name)}
                aria-current={name === section ? 'page' : undefined}
                onClick={() => setOpen(false)}
              >
                <Icon name={icon} />
                {t(`nav.${name}`)}
              </a>
            ))}
            <a href="/docs" target="_blank" rel="noreferrer">
              <Icon name="book" />
              {t('nav.docs')}
            </a>
          </nav>
          <div class="side-foot">
            <p class="soft small break">{username}</p>
            <div class="side-looks">
              <LanguageSwitch />
              <ThemeSwitch />
            </div>
            <button type="button" class="button plain compact" onClick={() => leave.run()}>
              <Icon name="logout" />
              {t('common.logout')}
            </button>
          </div>
        </div>
      </header>
      <div class="work">
        <main id="main" tabIndex={-1}>
          <Fault error={leave.error} />
          {page}
        </main>
      </div>
    </div>
  );
}

startApp({ readSession, sessionIntervalMs: SESSION_INTERVAL_MS, Inside });
