import { signal } from '@preact/signals';
import type { z } from 'zod';
import type { sessionSchema } from '#protocol/http-fleet.ts';
import { ApiError, createApi } from '../shared/api.ts';
import { forgetQueries } from '../shared/query.ts';

/** Who is logged in: null when nobody is, undefined until the first answer. */
export const session = signal<z.infer<typeof sessionSchema> | null | undefined>(undefined);

export const api = createApi({
  base: '/api/v1',
  onUnauthenticated: () => {
    session.value = null;
    forgetQueries();
  },
});

/** Ids of the assets picked on the assets page, for the push page. */
export const picked = signal<ReadonlySet<string>>(new Set());

/** Asks whether we are in; not being in is an answer, not a failure. */
export async function readSession(signal?: AbortSignal): Promise<void> {
  try {
    session.value = await api.get('/session', signal);
  } catch (error) {
    if (!(error instanceof ApiError) || error.code !== 'not_authenticated') throw error;
  }
}

export async function logIn(username: string, password: string): Promise<void> {
  session.value = await api.send('POST', '/session', { username, password });
}

export async function logOut(): Promise<void> {
  await api.send('DELETE', '/session');
  session.value = null;
  picked.value = new Set();
  forgetQueries();
}
