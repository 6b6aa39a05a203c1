import type {
  FastifyBaseLogger,
  FastifyInstance,
  RawReplyDefaultExpression,
  RawRequestDefaultExpression,
  RawServerDefault,
} from 'fastify';
import type { ZodTypeProvider } from 'fastify-type-provider-zod';
import type { Database } from '#fleet/database/database.ts';
import type { FleetKeys } from '#fleet/keys/fleet-keys.ts';
import type { Metrics } from '#fleet/metrics/metrics.ts';
import type { Jobs } from '#fleet/worker/jobs.ts';

/** What routes work with. */
export interface ApiContext {
  db: Database;
  keys: FleetKeys;
  jobs: Jobs;
  metrics: Metrics;
  routerUrl: () => string;
  brokerUrl: () => string;
  /** Whether fleet and boxes stand in one network, whose machines may be origins. */
  localOrigins: boolean;
}

/** A fastify instance whose handlers' types follow from their zod schemas. */
export type ApiScope = FastifyInstance<
  RawServerDefault,
  RawRequestDefaultExpression,
  RawReplyDefaultExpression,
  FastifyBaseLogger,
  ZodTypeProvider
>;
