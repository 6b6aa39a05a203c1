import { randomBytes } from 'node:crypto';
import { Readable } from 'node:stream';
import { z } from 'zod';
import type { ApiScope } from '#fleet/api/context.ts';
import { HearthError } from '#protocol/errors.ts';
import { UPLINK_TEST_BYTES } from '#protocol/uplink.ts';
import { TestBudget } from './budget.ts';

/** Sent again and again: incompressible, and no work. */
const PIECE = randomBytes(64 * 1024);
const RATE = { max: 3_000, timeWindow: 60_000 };

/**
 * Gives and takes bytes, so that a box can measure its household's line. Open to all, since a box does it before it is
 * paired: what one network gets is bounded in bytes, in requests at once and in requests a minute.
 */
export function uplinkTestRoutes(api: ApiScope, budget = new TestBudget()): void {
  const tags = ['boxes'];
  void api.register(async (scope: ApiScope) => {
    scope.addContentTypeParser('application/octet-stream', (request, payload, done) => {
      const expected = Number(request.headers['content-length'] ?? Number.NaN);
      if (!(expected <= UPLINK_TEST_BYTES)) {
        return done(
          new HearthError('payload_too_large', `At most ${UPLINK_TEST_BYTES} bytes, and say how many.`),
        );
      }
      let end: () => void;
      try {
        end = budget.begin(request.ip, expected);
      } catch (error) {
        return done(error as HearthError);
      }
      let bytes = 0;
      payload.on('data', (piece: Buffer) => {
        bytes += piece.length;
      });
      payload.on('close', end);
      payload.on('error', (error) => done(error));
      payload.on('end', () => done(null, bytes));
    });
    scope.post(
      '/uplink-test',
      {
        schema: {
          tags,
          summary: 'Takes bytes, to measure a line',
          consumes: ['application/octet-stream'],
          response: { 200: z.object({ bytes: z.int() }) },
        },
        config: { open: true, rateLimit: RATE },
        bodyLimit: UPLINK_TEST_BYTES,
      },
      async (request) => ({ bytes: typeof request.body === 'number' ? request.body : 0 }),
    );
    scope.get(
      '/uplink-test',
      {
        schema: {
          tags,
          summary: 'Gives bytes, to measure a line',
          querystring: z.object({ bytes: z.coerce.number().int().min(1).max(UPLINK_TEST_BYTES) }),
        },
        config: { open: true, rateLimit: RATE },
      },
      async (request, reply) => {
        const { bytes } = request.query;
        const end = budget.begin(request.ip, bytes);
        reply.raw.once('close', end);
        return reply
          .header('content-type', 'application/octet-stream')
          .header('content-length', bytes)
          .send(Readable.from(pieces(bytes)));
      },
    );
  });
}

function* pieces(bytes: number): Generator<Buffer> {
  for (let left = bytes; left > 0; left -= PIECE.length)
    yield left < PIECE.length ? PIECE.subarray(0, left) : PIECE;
}
