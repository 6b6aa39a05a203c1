import { signal } from '@preact/signals';
import type { z } from 'zod';
import type { boxContentSchema, boxSessionSchema } from '#protocol/http-box.ts';
import { createApi } from '../shared/api.ts';
import { forgetQueries } from '../shared/query.ts';

export type Session = z.infer<typeof boxSessionSchema>;
export type ContentItem = z.infer<typeof boxContentSchema>['items'][number];

/** Null until the first answer. */
export const session = signal<Session | null>(null);

export const api = createApi({
  base: '/api',
  onUnauthenticated: () => {
    if (session.value?.loggedIn) session.value = { ...session.value, loggedIn: false };
    forgetQueries();
  },
});

/** Asks whether we are in; throws what the API throws. */
export async function readSession(signal?: AbortSignal): Promise<void> {
  session.value = await api.get<Session>('/session', signal);
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
