import { Readable } from 'node:stream';
import { z } from 'zod';
import type { ApiContext, ApiScope } from '#fleet/api/context.ts';
import { sha256Schema } from '#protocol/asset.ts';
import { HearthError } from '#protocol/errors.ts';
import { ARTEFACT_BYTES, METADATA_NAME } from '#protocol/release.ts';
import { publishSchema, releasesSchema } from '#protocol/rollout.ts';
import { artefactSize, readArtefact, storeArtefact } from './artefacts.ts';
import { listReleases, metadataFile, publish } from './metadata.ts';

const artefactParams = z.object({ sha256: sha256Schema });

/** Signed releases: stored for operators, read by boxes. */
export function releaseRoutes(api: ApiScope, { db }: ApiContext): void {
  const tags = ['releases'];
  api.get(
    '/releases',
    { schema: { tags, summary: 'Releases, newest first', response: { 200: releasesSchema } } },
    async () => listReleases(db),
  );
  api.post(
    '/releases',
    {
      schema: {
        tags,
        summary: 'Publish signed metadata, checked as a box would',
        body: publishSchema,
        response: { 200: releasesSchema },
      },
    },
    async (request) => {
      await publish(db, request.body.files);
      return listReleases(db);
    },
  );
  api.get(
    '/updates/metadata/:name',
    {
      schema: {
        tags,
        summary: 'A metadata file (TUF), for boxes',
        params: z.object({ name: z.string().regex(METADATA_NAME) }),
      },
      // What is signed is no secret.
      config: { open: true },
    },
    async (request, reply) => {
      const content = await metadataFile(db, request.params.name);
      if (content === null) throw new HearthError('not_found', 'There is no such metadata.');
      return reply.type('application/json').send(content);
    },
  );
  api.get(
    '/updates/artefacts/:sha256',
    {
      schema: { tags, summary: 'An executable, with Range, for boxes', params: artefactParams },
      config: { open: true },
    },
    async (request, reply) => {
      const { sha256 } = request.params;
      const size = await artefactSize(db, sha256);
      if (size === null) throw new HearthError('not_found', 'There is no such artefact.');
      const range = rangeOf(request.headers.range, size);
      reply.header('accept-ranges', 'bytes').header('etag', `"${sha256}"`).type('application/octet-stream');
      if (range === 'unsatisfiable') {
        return reply.status(416).header('content-range', `bytes */${size}`).send();
      }
      const { start, end } = range ?? { start: 0, end: size };
      if (range) reply.status(206).header('content-range', `bytes ${start}-${end - 1}/${size}`);
      return reply
        .header('content-length', end - start)
        .send(Readable.from(readArtefact(db, sha256, start, end), { objectMode: false, highWaterMark: 1 }));
    },
  );
  api.register(async (upload) => {
    // Read as it comes: an executable is larger than any other body.
    upload.removeAllContentTypeParsers();
    upload.addContentTypeParser('application/octet-stream', (_request, payload, done) => done(null, payload));
    upload.put(
      '/updates/artefacts/:sha256',
      {
        schema: {
          tags,
          summary: 'Upload an executable',
          consumes: ['application/octet-stream'],
          response: { 200: z.object({ sizeBytes: z.int() }) },
        },
        bodyLimit: ARTEFACT_BYTES,
      },
      async (request) => {
        const params = artefactParams.safeParse(request.params);
        if (!params.success) throw new HearthError('bad_request', 'sha256 must be 64 hex digits');
        return {
          sizeBytes: await storeArtefact(db, params.data.sha256, request.body as AsyncIterable<Buffer>),
        };
      },
    );
  });
}

/** One range (RFC 9110 section 14.2); null: the whole, also for what is not understood. */
function rangeOf(
  header: string | undefined,
  size: number,
): { start: number; end: number } | 'unsatisfiable' | null {
  const [, first, last = ''] = /^bytes=(\d{1,15})-(\d{0,15})$/.exec(header ?? '') ?? [];
  if (first === undefined) return null;
  const start = Number(first);
  const end = last === '' ? size : Math.min(Number(last) + 1, size);
  return start < end ? { start, end } : 'unsatisfiable';
}
