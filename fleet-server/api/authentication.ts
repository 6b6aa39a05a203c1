import type { FastifyInstance, FastifyRequest } from 'fastify';
import type { Database } from '#fleet/database/database.ts';
import { type Operator, operatorOfSession, operatorOfToken } from '#fleet/operators/operators.ts';
import { HearthError } from '#protocol/errors.ts';

declare module 'fastify' {
  interface FastifyContextConfig {
    /** True for the routes that anyone may ask. */
    open?: boolean;
  }
  interface FastifyRequest {
    operator: Operator | null;
  }
}

export const SESSION_COOKIE = 'hearth_session';

/**
 * Lets operators in by API token or session cookie, on every route that is not marked open. A cookie is sent by
 * the browser whoever asks, so changes made with one also need a header that no other site can set.
 */
export function authentication(api: FastifyInstance, db: Database): void {
  api.decorateRequest('operator', null);
  api.addHook('onRequest', async (request) => {
    if (request.routeOptions.config.open || request.is404) return;
    request.operator = await authenticate(db, request);
  });
}

/** Who asks; @throws HearthError `not_authenticated` on a route that is open to anyone */
export function operatorOf(request: FastifyRequest): Operator {
  if (!request.operator) throw new HearthError('not_authenticated', 'Log in, or send an API token.');
  return request.operator;
}

async function authenticate(db: Database, request: FastifyRequest): Promise<Operator> {
  const { authorization } = request.headers;
  if (authorization !== undefined) {
    const token = /^Bearer ([\x21-\x7e]{1,200})$/.exec(authorization)?.[1];
    const operator = token && (await operatorOfToken(db, token));
    if (operator) return operator;
    throw new HearthError('not_authenticated', 'The API token is not valid. Make a new one in the console.');
  }
  const session = request.cookies[SESSION_COOKIE];
  const operator = session && (await operatorOfSession(db, session));
  if (!operator) throw new HearthError('not_authenticated', 'Log in, or send an API token.');
  const changes = request.method !== 'GET' && request.method !== 'HEAD';
  if (changes && request.headers['x-hearth-csrf'] !== '1') {
    throw new HearthError(
      'forbidden',
      'Requests with a session cookie must send the header x-hearth-csrf: 1.',
    );
  }
  return operator;
}
