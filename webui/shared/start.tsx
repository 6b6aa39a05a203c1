import { type ComponentType, render } from 'preact';
import { useEffect } from 'preact/hooks';
import { LostBanner, Toasts } from './components/basics.tsx';
import { startFocusKeeper } from './focus.ts';
import { startLanguage } from './i18n.ts';
import { startPoll } from './poll.ts';
import { startRouter } from './router.ts';
import { startTheme } from './theme.ts';

interface AppOptions {
  /** Asks whether somebody is logged in; throws what the API throws. */
  readSession: (signal: AbortSignal) => Promise<void>;
  /** How often to look whether someone else changed our session: a reset, another tab's logout. */
  sessionIntervalMs: number;
  Inside: ComponentType;
}

/** Starts a dashboard in the page: language, theme, address bar, session, and what lies over every page. */
export function startApp({ readSession, sessionIntervalMs, Inside }: AppOptions): void {
  function App() {
    useEffect(
      () => startPoll({ run: readSession, intervalMs: sessionIntervalMs, onError: () => {} }).stop,
      [],
    );
    return (
      <>
        <LostBanner />
        <Inside />
        <Toasts />
      </>
    );
  }
  startTheme();
  startLanguage();
  startRouter();
  const root = document.getElementById('app');
  if (!root) return;
  startFocusKeeper(root);
  render(<App />, root);
}
