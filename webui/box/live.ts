import { signal } from '@preact/signals';
import { useEffect } from 'preact/hooks';
import type { Activity, BoxStatus } from '#protocol/http-box.ts';
import { putQuery, refreshQueries, useQuery } from '../shared/query.ts';
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

  const stop = () => {
    clearTimeout(timer);
    source?.close();
    source = null;
    live.value = false;
  };
  const open = () => {
    stop();
    if (document.hidden) return;
    const mine = new EventSource('/api/events');
    source = mine;
    mine.addEventListener('status', (event) => {
      live.value = true;
      putQuery<BoxStatus>('/status', () => JSON.parse(event.data));
    });
    mine.addEventListener('activity', (event) => {
      const fresh = (JSON.parse(event.data) as { items: Activity[] }).items;
      putQuery<{ items: Activity[] }>('/activity', (before) => ({
        items: mergeActivity(before?.items ?? [], fresh),
      }));
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
  open();
  return () => {
    document.removeEventListener('visibilitychange', open);
    stop();
  };
}

/**
 * Newest first. Fresh lines come oldest first; numbers that begin anew are those of a box that was restarted, and
 * its list takes the place of the old one.
 */
export function mergeActivity(before: readonly Activity[], fresh: readonly Activity[]): Activity[] {
  const newest = fresh.toReversed();
  const first = fresh[0];
  const known = before.find((item) => item.seq === first?.seq);
  if (first?.seq === 1 || (known && known.at !== first?.at)) return newest;
  const seen = new Set(newest.map((item) => item.seq));
  return [...newest, ...before.filter((item) => !seen.has(item.seq))].slice(0, KEPT_ACTIVITY);
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
