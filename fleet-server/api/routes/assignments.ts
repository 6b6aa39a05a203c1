import { z } from 'zod';
import { assign, listAssignments, unassign } from '#fleet/assignments/assignments.ts';
import { HearthError } from '#protocol/errors.ts';
import {
  assignmentSchema,
  changedSchema,
  createAssignmentsSchema,
  pageOf,
  pageQuerySchema,
  unassignSchema,
} from '#protocol/http-fleet.ts';
import { assignmentIdSchema } from '#protocol/ids.ts';
import { LIMITS } from '#protocol/limits.ts';
import type { ApiContext, ApiScope } from '../context.ts';

/** Assignments: what boxes are to hold, and how far they are. */
export function assignmentRoutes(api: ApiScope, { db }: ApiContext): void {
  const tags = ['assignments'];
  api.get(
    '/assignments',
    {
      schema: {
        tags,
        summary: 'Assignments, newest first',
        querystring: pageQuerySchema.extend({ open: z.stringbool().default(false) }),
        response: { 200: pageOf(assignmentSchema) },
      },
    },
    async (request) => listAssignments(db, request.query),
  );
  api.post(
    '/assignments',
    {
      schema: {
        tags,
        summary: 'Assign assets to boxes',
        body: createAssignmentsSchema,
        response: { 201: z.object({ items: z.array(assignmentSchema) }) },
      },
    },
    async (request, reply) => {
      const ids = await assign(db, request.body);
      const { items } = await listAssignments(db, { ids, limit: LIMITS.assetsPerRequest });
      return reply.status(201).send({ items });
    },
  );
  api.get(
    '/assignments/:id',
    {
      schema: {
        tags,
        summary: 'One assignment and its progress',
        params: z.object({ id: assignmentIdSchema }),
        response: { 200: assignmentSchema },
      },
    },
    async (request) => {
      const [assignment] = (await listAssignments(db, { ids: [request.params.id], limit: 1 })).items;
      if (!assignment) throw new HearthError('not_found', `There is no assignment ${request.params.id}.`);
      return assignment;
    },
  );
  api.post(
    '/unassign',
    {
      schema: {
        tags,
        summary: 'Take assets off boxes',
        body: unassignSchema,
        response: { 200: changedSchema },
      },
    },
    async (request) => ({ changed: await unassign(db, request.body.assets, request.body.boxIds) }),
  );
}
