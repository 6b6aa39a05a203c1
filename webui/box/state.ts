import { signal } from '@preact/signals';
import type { z } from 'zod';
import type { HouseholdSettings, SettingsChange } from '#protocol/household.ts';
import type { BoxContent, boxSessionSchema } from '#protocol/http-box.ts';
import { ApiError, createApi } from '../shared/api.ts';
import type { Language } from '../shared/i18n.ts';
import { forgetQueries, putQuery, refreshQueries, useQuery } from '../shared/query.ts';

export type Session = z.infer<typeof boxSessionSchema>;
export type ContentItem = BoxContent['items'][number];

/** Null until the first answer. */
export const session = signal<Session | null>(null);

/** This page has come through a relay: there it lies below a path. At home it is at the root. */
export const isAway = typeof location !== 'undefined' && location.pathname.startsWith('/my/');

export const api = createApi({
  // Beside the page, wherever that is.
  base: './api',
  onUnauthenticated: () => {
    if (session.value?.loggedIn) session.value = { ...session.value, loggedIn: false };
    forgetQueries();
  },
});

/** Asks whether we are in; throws what the API throws. */
export async function readSession(signal?: AbortSignal): Promise<void> {
  try {
    session.value = await api.get<Session>('/session', signal);
  } catch (error) {
    // The box answers this to anyone: it is the relay that wants its key again, and it has a page for that.
    if (isAway && error instanceof ApiError && error.code === 'not_authenticated') location.reload();
    throw error;
  }
}

export async function logIn(password: string): Promise<void> {
  await api.send('POST', '/login', { password });
  await readSession();
}

/** Sets the first-run password and is let in with it. */
export async function setUp(password: string): Promise<void> {
  await api.send('POST', '/setup', { password });
  await readSession();
  if (!session.value?.loggedIn) await logIn(password);
}

export async function logOut(): Promise<void> {
  await api.send('POST', '/logout');
  forgetQueries();
  await readSession();
}

/** What the household decided. */
export function useSettings() {
  return useQuery<HouseholdSettings>(api, '/settings', 30_000);
}

/** Changes some of it; what is on screen follows at once. */
export async function changeSettings(change: SettingsChange): Promise<void> {
  const now = await api.send<HouseholdSettings>('PATCH', '/settings', change);
  putQuery<HouseholdSettings>('/settings', () => now);
  for (const path of ['/uplink', '/status']) refreshQueries(path);
}

/** The language as the box keeps it. */
export function languageSetting(language: Language): 'en' | 'zh' {
  return language === 'en' ? 'en' : 'zh';
}
