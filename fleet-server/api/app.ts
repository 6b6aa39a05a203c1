import { existsSync } from 'node:fs';
import cookie from '@fastify/cookie';
import rateLimit from '@fastify/rate-limit';
import fastifyStatic from '@fastify/static';
import swagger from '@fastify/swagger';
import swaggerUi from '@fastify/swagger-ui';
import Fastify, { type FastifyBaseLogger, type FastifyReply } from 'fastify';
import {
  createJsonSchemaTransform,
  hasZodFastifySchemaValidationErrors,
  serializerCompiler,
  validatorCompiler,
  type ZodTypeProvider,
} from 'fastify-type-provider-zod';
import type { Logger } from 'pino';
import { isDatabaseAway, isValueRefused } from '#fleet/database/database.ts';
import { releaseRoutes } from '#fleet/releases/routes.ts';
import { rolloutRoutes } from '#fleet/rollouts/routes.ts';
import { uplinkTestRoutes } from '#fleet/uplink-test/routes.ts';
import { ERROR_CODES, type ErrorCode, HearthError, isHearthError, messageOf } from '#protocol/errors.ts';
import { errorBodySchema } from '#protocol/http-fleet.ts';
import { LIMITS } from '#protocol/limits.ts';
import { authentication, SESSION_COOKIE } from './authentication.ts';
import type { ApiContext, ApiScope } from './context.ts';
import { assetRoutes } from './routes/assets.ts';
import { assignmentRoutes } from './routes/assignments.ts';
import { boxRoutes } from './routes/boxes.ts';
import { ledgerRoutes } from './routes/ledger.ts';
import { operatorRoutes } from './routes/operators.ts';
import { siteRoutes } from './routes/sites.ts';

/** Builds the API: routes, OpenAPI at /docs, metrics, and the operator console at /. */
export async function buildApi(context: ApiContext, webuiDir: string, log: Logger): Promise<ApiScope> {
  const app = Fastify({
    // Fastify tells of every request at info; less still, where less is asked for.
    loggerInstance: log.child(
      { part: 'api' },
      { level: log.isLevelEnabled('warn') ? 'warn' : log.level },
    ) as FastifyBaseLogger,
    bodyLimit: LIMITS.httpBodyBytes,
    requestTimeout: 30_000,
    routerOptions: { maxParamLength: 200 },
    trustProxy: false,
    frameworkErrors: (error, _request, reply) => {
      const known = toHearthError(error);
      // Before any route is known its types say nothing.
      void (reply as unknown as FastifyReply).status(ERROR_CODES[known.code]).send(errorBody(known));
    },
  }).withTypeProvider<ZodTypeProvider>();
  app.setValidatorCompiler(validatorCompiler);
  app.setSerializerCompiler(serializerCompiler);

  app.setErrorHandler((error, request, reply) => {
    const known = toHearthError(error);
    if (known.code === 'internal') request.log.error({ err: error }, 'a request failed');
    if (known.code === 'unavailable') reply.header('retry-after', '2');
    return reply.status(ERROR_CODES[known.code]).send(errorBody(known));
  });
  app.setNotFoundHandler((request, reply) =>
    reply.status(404).send({
      error: {
        code: 'not_found',
        message: `There is nothing at ${request.method} ${request.url.slice(0, 200)}.`,
      },
    }),
  );
  app.addHook('onSend', async (_request, reply) => {
    reply.header('x-content-type-options', 'nosniff');
    reply.header('referrer-policy', 'no-referrer');
    reply.header('x-frame-options', 'DENY');
  });

  await app.register(cookie);
  await app.register(rateLimit, {
    global: false,
    errorResponseBuilder: (_request, limit) => tooMany(limit.after),
  });
  await app.register(swagger, {
    openapi: {
      openapi: '3.1.0',
      info: {
        title: 'Hearth fleet API',
        version: '1',
        description: 'What the operator console, the CLI and boxes at enrolment speak.',
      },
      components: {
        securitySchemes: {
          token: { type: 'http', scheme: 'bearer' },
          session: {
            type: 'apiKey',
            in: 'cookie',
            name: SESSION_COOKIE,
            description: 'Requests that change something also send the header `x-hearth-csrf: 1`.',
          },
        },
      },
    },
    transform: createJsonSchemaTransform({ skipList: ['/healthz', '/metrics'] }),
  });
  await app.register(swaggerUi, { routePrefix: '/docs' });

  app.get('/healthz', { schema: { hide: true } }, async (_request, reply) => {
    await context.db.execute('SELECT 1');
    return reply.status(204).send();
  });
  app.get('/metrics', { schema: { hide: true } }, async (_request, reply) =>
    reply.type(context.metrics.registry.contentType).send(await context.metrics.registry.metrics()),
  );

  await app.register(
    async (api) => {
      // What is true of every route is said here once, for the description and for who reads it.
      api.addHook('onRoute', (route) => {
        const open = route.config?.open === true;
        route.schema = {
          ...route.schema,
          ...(!open && { security: [{ token: [] }, { session: [] }] }),
          response: {
            ...(route.schema?.response as Record<string, unknown>),
            '4xx': errorBodySchema,
            '5xx': errorBodySchema,
          },
        };
      });
      authentication(api, context.db);
      api.addHook('onSend', async (_request, reply) => void reply.header('cache-control', 'no-store'));
      operatorRoutes(api, context);
      boxRoutes(api, context);
      siteRoutes(api, context);
      assetRoutes(api, context);
      assignmentRoutes(api, context);
      ledgerRoutes(api, context);
      releaseRoutes(api, context);
      rolloutRoutes(api, context);
      uplinkTestRoutes(api);
    },
    { prefix: '/api/v1' },
  );

  if (existsSync(webuiDir)) {
    await app.register(fastifyStatic, {
      root: webuiDir,
      setHeaders: (reply, file) => {
        // Bundles carry their hash in their name; the page that names them does not.
        reply.header(
          'cache-control',
          file.endsWith('.html') ? 'no-cache' : 'public, max-age=31536000, immutable',
        );
        reply.header(
          'content-security-policy',
          "default-src 'self'; img-src 'self' data:; frame-ancestors 'none'; base-uri 'none'; form-action 'self'",
        );
      },
    });
  } else {
    app.get('/', { schema: { hide: true } }, async (_request, reply) =>
      reply.type('text/plain').send('The console is not built. Run: npm run build:webui\n'),
    );
  }
  return app;
}

function toHearthError(error: unknown): HearthError {
  if (isHearthError(error)) return error;
  if (hasZodFastifySchemaValidationErrors(error)) {
    const faults = error.validation
      .slice(0, 3)
      .map(
        (fault) =>
          `${fault.instancePath.slice(1).replaceAll('/', '.') || error.validationContext}: ${fault.message}`,
      );
    return new HearthError('bad_request', faults.join('; '));
  }
  const status = (error as { statusCode?: number }).statusCode;
  const byStatus: Record<number, ErrorCode> = {
    400: 'bad_request',
    404: 'not_found',
    413: 'payload_too_large',
    415: 'bad_request',
    429: 'rate_limited',
  };
  const code = status === undefined ? undefined : byStatus[status];
  if (code) return new HearthError(code, messageOf(error));
  if (isDatabaseAway(error)) {
    return new HearthError('unavailable', 'The database is away for a moment. Try again.', { cause: error });
  }
  if (isValueRefused(error)) {
    return new HearthError('bad_request', 'The request holds a value that cannot be stored, such as NUL.', {
      cause: error,
    });
  }
  return new HearthError('internal', 'Something went wrong in the fleet-server; its log says what.', {
    cause: error,
  });
}

function errorBody(error: HearthError) {
  return { error: { code: error.code, message: error.message } };
}

function tooMany(after: string): Error & { statusCode: number } {
  return Object.assign(new Error(`Too many tries. Wait ${after} and try again.`), { statusCode: 429 });
}
