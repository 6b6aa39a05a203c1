import { effect, signal, untracked } from '@preact/signals';
import { useEffect } from 'preact/hooks';
import type { Activity, BoxStatus, LogEvent } from '#protocol/http-box.ts';
import { putQuery, refreshQueries, useQuery } from '../shared/query.ts';
import { mergeNewest } from './lines.ts';
import { forgetLog, logWanted, takeLog } from './log.ts';
import { api, readSession } from './state.ts';

/** True while the box tells what changes by itself: then the polls only make sure. */
export const live = signal(false);

/** A stream the box refused is asked for again after so long, ms; until then the page polls. */
const AGAIN_MS = 30_000;
const SURE_MS = 60_000;
const KEPT_ACTIVITY = 200;

/**
 * Listens to the box's events while the page is seen: a hidden tab must not hold one of the few connections a
 * browser has for a host.
 * @returns ends it
 */
export function startLive(): () => void {
  let source: EventSource | null = null;
  let timer: ReturnType<typeof setTimeout> | undefined;
  /** The last line that was told, so that another stream goes on from there. */
  let lastId = '';

  const stop = () => {
    clearTimeout(timer);
    source?.close();
    source = null;
    live.value = false;
  };
  const open = () => {
    stop();
    if (document.hidden) return;
    const query = new URLSearchParams({
      ...(lastId === '' ? {} : { since: lastId }),
      ...(logWanted.peek() ? { log: '1' } : {}),
    }).toString();
    const mine = new EventSource(`./api/events${query === '' ? '' : `?${query}`}`);
    source = mine;
    mine.addEventListener('status', (event) => {
      live.value = true;
      putQuery<BoxStatus>('/status', () => JSON.parse(event.data));
    });
    mine.addEventListener('activity', (event) => {
      const fresh = (JSON.parse(event.data) as { items: Activity[] }).items;
      lastId = event.lastEventId;
      putQuery<{ items: Activity[] }>('/activity', (before) => ({
        items: mergeNewest(before?.items ?? [], fresh, KEPT_ACTIVITY),
      }));
    });
    mine.addEventListener('log', (event) => {
      lastId = event.lastEventId;
      takeLog(JSON.parse(event.data) as LogEvent);
    });
    mine.addEventListener('settings', () => {
      for (const path of ['/settings', '/uplink', '/disks', '/status']) refreshQueries(path);
    });
    mine.addEventListener('error', () => {
      live.value = false;
      // The browser tries again by itself after a lost connection, not after a refusal.
      if (mine.readyState !== EventSource.CLOSED) return;
      clearTimeout(timer);
      timer = setTimeout(open, AGAIN_MS);
      // It may have been refused because the session has ended.
      readSession().catch(() => {});
    });
  };
  document.addEventListener('visibilitychange', open);
  // Opens it, and anew whenever the log is wanted or not any more.
  const follow = effect(() => {
    logWanted.value;
    untracked(open);
  });
  return () => {
    document.removeEventListener('visibilitychange', open);
    follow();
    stop();
    forgetLog();
  };
}

/** The box's status, live or polled. */
export function useStatus() {
  return useQuery<BoxStatus>(api, '/status', live.value ? SURE_MS : 2_000);
}

export function useActivity() {
  return useQuery<{ items: Activity[] }>(api, '/activity', live.value ? SURE_MS : 3_000);
}

export function useLive(): void {
  useEffect(startLive, []);
}
