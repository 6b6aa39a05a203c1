import { z } from 'zod';
import { operatorOf } from '#fleet/api/authentication.ts';
import type { ApiContext, ApiScope } from '#fleet/api/context.ts';
import { rolloutIdSchema } from '#protocol/ids.ts';
import {
  createRolloutSchema,
  rolloutActionSchema,
  rolloutDetailSchema,
  rolloutListSchema,
} from '#protocol/rollout.ts';
import { leftOut } from './left-out.ts';
import { actOnRollout, createRollout } from './rollouts.ts';
import { listRollouts, rolloutDetail } from './views.ts';

const params = z.object({ id: rolloutIdSchema });

/** Rollouts of releases to boxes, in waves. */
export function rolloutRoutes(api: ApiScope, { db }: ApiContext): void {
  const tags = ['releases'];
  api.get(
    '/rollouts',
    { schema: { tags, summary: 'Rollouts, newest first', response: { 200: rolloutListSchema } } },
    async () => ({ items: await listRollouts(db), leftOut: await leftOut(db) }),
  );
  api.post(
    '/rollouts',
    {
      schema: {
        tags,
        summary: 'Roll a release out, in waves',
        body: createRolloutSchema,
        response: { 201: rolloutDetailSchema },
      },
    },
    async (request, reply) => {
      const id = await createRollout(db, request.body, operatorOf(request).username);
      return reply.status(201).send(await rolloutDetail(db, id));
    },
  );
  api.get(
    '/rollouts/:id',
    {
      schema: {
        tags,
        summary: 'One rollout, with its boxes and what happened',
        params,
        response: { 200: rolloutDetailSchema },
      },
    },
    async (request) => rolloutDetail(db, request.params.id),
  );
  api.post(
    '/rollouts/:id/:action',
    {
      schema: {
        tags,
        summary: 'Pause, resume, halt, roll back or cancel a rollout',
        params: params.extend({ action: rolloutActionSchema }),
        response: { 200: rolloutDetailSchema },
      },
    },
    async (request) => {
      await actOnRollout(db, request.params.id, request.params.action, operatorOf(request).username);
      return rolloutDetail(db, request.params.id);
    },
  );
}
