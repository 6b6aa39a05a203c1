import { z } from 'zod';
import {
  createToken,
  deleteToken,
  listTokens,
  login,
  logout,
  operatorOfSession,
} from '#fleet/operators/operators.ts';
import { HearthError } from '#protocol/errors.ts';
import {
  apiTokenSchema,
  createdTokenSchema,
  createTokenSchema,
  loginSchema,
  sessionSchema,
} from '#protocol/http-fleet.ts';
import { operatorOf, SESSION_COOKIE } from '../authentication.ts';
import type { ApiContext, ApiScope } from '../context.ts';

/** Sessions of the console and API tokens. */
export function operatorRoutes(api: ApiScope, { db }: ApiContext): void {
  const tags = ['operators'];
  api.post(
    '/session',
    {
      schema: { tags, summary: 'Log in', body: loginSchema, response: { 200: sessionSchema } },
      config: { open: true, rateLimit: { max: 10, timeWindow: 60_000 } },
    },
    async (request, reply) => {
      const { operator, secret, expiresAt } = await login(db, request.body.username, request.body.password);
      reply.setCookie(SESSION_COOKIE, secret, {
        path: '/',
        httpOnly: true,
        sameSite: 'strict',
        secure: request.protocol === 'https',
        expires: expiresAt,
      });
      return { username: operator.username };
    },
  );
  api.get(
    '/session',
    { schema: { tags, summary: 'Who is logged in', response: { 200: sessionSchema } } },
    async (request) => ({ username: operatorOf(request).username }),
  );
  api.delete(
    '/session',
    { schema: { tags, summary: 'Log out', response: { 204: z.null() } }, config: { open: true } },
    async (request, reply) => {
      const secret = request.cookies[SESSION_COOKIE];
      if (secret && (await operatorOfSession(db, secret))) await logout(db, secret);
      reply.clearCookie(SESSION_COOKIE, { path: '/' });
      return reply.status(204).send(null);
    },
  );
  api.get(
    '/tokens',
    {
      schema: {
        tags,
        summary: 'Your API tokens',
        response: { 200: z.object({ items: z.array(apiTokenSchema) }) },
      },
    },
    async (request) => ({ items: (await listTokens(db, operatorOf(request))).map(tokenBody) }),
  );
  api.post(
    '/tokens',
    {
      schema: {
        tags,
        summary: 'Make an API token',
        body: createTokenSchema,
        response: { 201: createdTokenSchema },
      },
    },
    async (request, reply) => {
      const { row, secret } = await createToken(db, operatorOf(request), request.body.name);
      return reply.status(201).send({ ...tokenBody(row), secret });
    },
  );
  api.delete(
    '/tokens/:id',
    {
      schema: {
        tags,
        summary: 'Delete an API token',
        params: z.object({ id: z.uuid() }),
        response: { 204: z.null() },
      },
    },
    async (request, reply) => {
      if (!(await deleteToken(db, operatorOf(request), request.params.id))) {
        throw new HearthError('not_found', 'You have no such API token.');
      }
      return reply.status(204).send(null);
    },
  );
}

function tokenBody(row: { id: string; name: string; createdAt: Date; lastUsedAt: Date | null }) {
  return {
    id: row.id,
    name: row.name,
    createdAt: row.createdAt.toISOString(),
    lastUsedAt: row.lastUsedAt?.toISOString() ?? null,
  };
}
