import { type Signal, signal } from '@preact/signals';
import { useCallback, useEffect, useState } from 'preact/hooks';
import type { Api } from './api.ts';
import { startPoll } from './poll.ts';

interface Entry {
  data: Signal<unknown>;
  error: Signal<unknown>;
}

/** What was last heard, by path: a page seen before shows at once and is then brought up to date. */
const entries = new Map<string, Entry>();
const active = new Set<{ path: string; refresh: () => void }>();
const MAX_ENTRIES = 100;

function entryOf(path: string): Entry {
  const known = entries.get(path);
  if (known) return known;
  const oldest = entries.keys().next();
  if (entries.size >= MAX_ENTRIES && !oldest.done) entries.delete(oldest.value);
  const entry = { data: signal<unknown>(undefined), error: signal<unknown>(undefined) };
  entries.set(path, entry);
  return entry;
}

/** Forgets everything, as a logout must. */
export function forgetQueries(): void {
  entries.clear();
}

/** Puts an answer that came by itself in the place of the one asked for. */
export function putQuery<T>(path: string, update: (before: T | undefined) => T): void {
  const entry = entryOf(path);
  entry.data.value = update(entry.data.peek() as T | undefined);
  entry.error.value = undefined;
}

/** Asks again, now, everything on screen whose path starts so: after a change. */
export function refreshQueries(prefix: string): void {
  for (const query of active) if (query.path.startsWith(prefix)) query.refresh();
}

export interface Query<T> {
  /** Undefined until the first answer; kept when a later question fails. */
  data: T | undefined;
  error: unknown;
  refresh: () => void;
}

interface Page<T> {
  items: T[];
  next: string | null;
}

/** Polls a path while the component is on screen; a null path asks nothing. */
export function useQuery<T>(api: Api, path: string | null, intervalMs: number): Query<T> {
  const fetchOne = useCallback((signal: AbortSignal) => api.get<T>(path ?? '', signal), [api, path]);
  return usePolled(path, fetchOne, intervalMs);
}

/** Polls the first `pages` pages of a list as one; `next` is null when that is all. */
export function usePages<T>(
  api: Api,
  path: string | null,
  intervalMs: number,
  pages: number,
  /** Ends the paging early; must stay the same function from render to render. */
  enough?: (items: T[]) => boolean,
): Query<Page<T>> {
  const fetchAll = useCallback(
    async (signal: AbortSignal): Promise<Page<T>> => {
      const items: T[] = [];
      let next: string | null = null;
      for (let page = 0; page < pages; page++) {
        const glue = path?.includes('?') ? '&' : '?';
        const after: string = next === null ? '' : `${glue}after=${encodeURIComponent(next)}`;
        const answer: Page<T> = await api.get<Page<T>>(`${path}${after}`, signal);
        items.push(...answer.items);
        next = answer.next;
        if (next === null || enough?.(items)) break;
      }
      return { items, next };
    },
    [api, path, pages, enough],
  );
  return usePolled(path, fetchAll, intervalMs);
}

function usePolled<T>(
  path: string | null,
  fetchIt: (signal: AbortSignal) => Promise<T>,
  intervalMs: number,
): Query<T> {
  const entry = entryOf(path ?? '');
  const [handle] = useState<{ refresh: () => void }>(() => ({ refresh: () => {} }));
  useEffect(() => {
    if (path === null) return;
    const poll = startPoll({
      intervalMs,
      run: async (signal) => {
        const data = await fetchIt(signal);
        if (signal.aborted) return;
        entry.data.value = data;
        entry.error.value = undefined;
      },
      onError: (error) => {
        entry.error.value = error;
      },
    });
    handle.refresh = poll.refresh;
    const mine = { path, refresh: poll.refresh };
    active.add(mine);
    return () => {
      active.delete(mine);
      poll.stop();
    };
  }, [path, fetchIt, intervalMs, entry, handle]);
  return {
    data: entry.data.value as T | undefined,
    error: entry.error.value,
    refresh: () => handle.refresh(),
  };
}

/** Something the person sets off: busy while it runs, `error` when it failed, one at a time. */
export interface Action<A extends unknown[]> {
  run: (...args: A) => void;
  busy: boolean;
  error: unknown;
  clear: () => void;
}

export function useAction<A extends unknown[]>(perform: (...args: A) => Promise<void>): Action<A> {
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState<unknown>(undefined);
  return {
    busy,
    error,
    clear: () => setError(undefined),
    run: (...args) => {
      if (busy) return;
      setBusy(true);
      setError(undefined);
      perform(...args)
        .catch(setError)
        .finally(() => setBusy(false));
    },
  };
}
