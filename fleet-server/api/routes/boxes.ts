import { z } from 'zod';
import { operatorOf } from '#fleet/api/authentication.ts';
import { boxDetail, commandBox, listBoxes, renameBox, revokeBox } from '#fleet/boxes/boxes.ts';
import { createClaim, enrol, openClaims } from '#fleet/boxes/enrol.ts';
import { endSessions } from '#fleet/relay/away/listing.ts';
import { HearthError } from '#protocol/errors.ts';
import {
  boxCommandSchema,
  boxDetailSchema,
  boxSchema,
  claimSchema,
  createClaimSchema,
  enrolRequestSchema,
  enrolResponseSchema,
  pageOf,
  pageQuerySchema,
  renameBoxSchema,
} from '#protocol/http-fleet.ts';
import { boxIdSchema, commandIdSchema } from '#protocol/ids.ts';
import type { ApiContext, ApiScope } from '../context.ts';

const params = z.object({ id: boxIdSchema });

/** Claim codes, enrolment, and boxes. */
export function boxRoutes(api: ApiScope, { db, keys, brokerUrl }: ApiContext): void {
  const tags = ['boxes'];
  api.post(
    '/enrol',
    {
      schema: {
        tags,
        summary: 'A box joins with its claim code',
        body: enrolRequestSchema,
        response: { 200: enrolResponseSchema },
      },
      // 60 random bits and this rate: guessing a code would take longer than it is valid.
      config: { open: true, rateLimit: { max: 30, timeWindow: 60_000 } },
    },
    async (request) => enrol(db, keys, request.body, brokerUrl()),
  );
  api.post(
    '/claims',
    {
      schema: {
        tags,
        summary: 'Make a claim code for a new box',
        body: createClaimSchema,
        response: { 201: claimSchema },
      },
    },
    async (request, reply) => {
      const claim = await createClaim(db, request.body.label ?? null);
      return reply.status(201).send({ ...claim, expiresAt: claim.expiresAt.toISOString() });
    },
  );
  api.get(
    '/claims',
    {
      schema: {
        tags,
        summary: 'Unused claim codes, masked',
        response: { 200: z.object({ items: z.array(claimSchema) }) },
      },
    },
    async () => ({
      items: (await openClaims(db)).map((claim) => ({ ...claim, expiresAt: claim.expiresAt.toISOString() })),
    }),
  );
  api.get(
    '/boxes',
    {
      schema: { tags, summary: 'Boxes', querystring: pageQuerySchema, response: { 200: pageOf(boxSchema) } },
    },
    async (request) => listBoxes(db, request.query),
  );
  api.get(
    '/boxes/:id',
    {
      schema: {
        tags,
        summary: 'One box, with all that is known of it',
        params,
        response: { 200: boxDetailSchema },
      },
    },
    async (request) => boxDetail(db, request.params.id),
  );
  api.patch(
    '/boxes/:id',
    { schema: { tags, summary: 'Rename a box', params, body: renameBoxSchema, response: { 204: z.null() } } },
    async (request, reply) => {
      await renameBox(db, request.params.id, request.body.label);
      return reply.status(204).send(null);
    },
  );
  api.delete(
    '/boxes/:id',
    { schema: { tags, summary: 'Revoke a box for good', params, response: { 204: z.null() } } },
    async (request, reply) => {
      await revokeBox(db, request.params.id);
      return reply.status(204).send(null);
    },
  );
  api.delete(
    '/boxes/:id/away-sessions',
    {
      schema: {
        tags,
        summary: "End all sessions at a box's dashboard from away",
        params,
        response: { 204: z.null() },
      },
    },
    async (request, reply) => {
      const { id } = request.params;
      const ended = await endSessions(db, id, null);
      const { username } = operatorOf(request);
      request.log.info({ boxId: id, ended, operator: username }, 'sessions at a dashboard were ended');
      return reply.status(204).send(null);
    },
  );
  api.delete(
    '/boxes/:id/away-sessions/:session',
    {
      schema: {
        tags,
        summary: "End one session at a box's dashboard from away",
        params: params.extend({ session: z.uuid() }),
        response: { 204: z.null() },
      },
    },
    async (request, reply) => {
      const { id, session } = request.params;
      const ended = await endSessions(db, id, [session]);
      if (ended === 0) throw new HearthError('not_found', 'There is no such session: it may have ended.');
      const { username } = operatorOf(request);
      request.log.info({ boxId: id, session, operator: username }, 'a session at a dashboard was ended');
      return reply.status(204).send(null);
    },
  );
  api.post(
    '/boxes/:id/commands',
    {
      schema: {
        tags,
        summary: 'Ask a box for something',
        params,
        body: boxCommandSchema,
        response: { 202: z.object({ id: commandIdSchema }) },
      },
    },
    async (request, reply) =>
      reply.status(202).send({ id: await commandBox(db, request.params.id, request.body) }),
  );
}
