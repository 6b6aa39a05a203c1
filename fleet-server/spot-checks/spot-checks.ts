import { createHash, timingSafeEqual } from 'node:crypto';
import { and, eq, isNull, lt, sql } from 'drizzle-orm';
import type { z } from 'zod';
import { manifestOf } from '#fleet/assets/manifest.ts';
import { enqueue } from '#fleet/commands/outbox.ts';
import type { Database } from '#fleet/database/database.ts';
import { assets, boxes, placements, spotChallenges, spotChecks } from '#fleet/database/schema.ts';
import { chunkHash, chunkSpan } from '#protocol/asset.ts';
import { HearthError } from '#protocol/errors.ts';
import { newNonce } from '#protocol/ids.ts';
import type { spotCheckResultSchema } from '#protocol/messages.ts';

/** An answer from the disk takes milliseconds; fetching a chunk again from elsewhere, longer than this. */
const DEADLINE_MS = 10_000;

/**
 * Asks a box for proof that it has a random chunk of an asset it says it holds. The question is one made at
 * ingest that this box was not asked before; when those are used up, a new one is made from the origin's bytes.
 * @param sha256 of the object to ask for; any held one when left out
 * @returns the command's id
 * @throws HearthError `not_found` when the box holds nothing (of that hash); `origin_*`, `chunk_mismatch`
 */
export async function askSpotCheck(db: Database, boxId: string, sha256?: string): Promise<string> {
  const [target] = await db
    .select({ assetId: assets.id })
    .from(placements)
    .innerJoin(assets, and(eq(assets.id, placements.assetId), eq(assets.sha256, placements.reportedSha256)))
    .where(
      and(
        eq(placements.boxId, boxId),
        eq(placements.reported, 'held'),
        sql`${assets.sizeBytes} > 0`,
        sha256 ? eq(assets.sha256, sha256) : undefined,
      ),
    )
    .orderBy(sql`random()`)
    .limit(1);
  if (!target) throw new HearthError('not_found', 'The box reports nothing held that could be checked.');
  const [unused] = await db
    .select()
    .from(spotChallenges)
    .where(
      and(
        eq(spotChallenges.assetId, target.assetId),
        sql`NOT EXISTS (SELECT 1 FROM ${spotChecks} WHERE ${spotChecks.boxId} = ${boxId}
          AND ${spotChecks.challengeId} = ${spotChallenges.id})`,
      ),
    )
    .orderBy(sql`random()`)
    .limit(1);
  const challenge = unused ?? (await challengeFromOrigin(db, target.assetId));
  return db.transaction(async (tx) => {
    const body = {
      type: 'spot-check' as const,
      sha256: challenge.sha256,
      chunkIndex: challenge.chunkIndex,
      nonce: challenge.nonce,
    };
    const commandId = await enqueue(tx, boxId, `spot-check:${challenge.nonce}`, body, DEADLINE_MS);
    await tx.insert(spotChecks).values({
      commandId,
      boxId,
      assetId: target.assetId,
      sha256: challenge.sha256,
      chunkIndex: challenge.chunkIndex,
      challengeId: unused?.id ?? null,
      proof: challenge.proof,
      deadline: new Date(Date.now() + DEADLINE_MS),
    });
    return commandId;
  });
}

/** Compares an answer with what was expected. What comes after the deadline is late, whatever it says. */
export async function judge(
  db: Database,
  commandId: string,
  result: z.infer<typeof spotCheckResultSchema>,
): Promise<void> {
  const [check] = await db.select().from(spotChecks).where(eq(spotChecks.commandId, commandId));
  if (check?.outcome !== 'waiting') return;
  const right = timingSafeEqual(Buffer.from(result.proof, 'hex'), Buffer.from(check.proof, 'hex'));
  const outcome = check.deadline < new Date() ? 'late' : right ? 'passed' : 'failed';
  await db.update(spotChecks).set({ outcome }).where(eq(spotChecks.commandId, commandId));
}

/** Marks the checks that got no answer in time, or a refusal. @returns how many */
export async function closeLate(db: Database): Promise<number> {
  const late = await db
    .update(spotChecks)
    .set({ outcome: 'late' })
    .where(and(eq(spotChecks.outcome, 'waiting'), lt(spotChecks.deadline, new Date(Date.now() - 1000))))
    .returning({ id: spotChecks.commandId });
  return late.length;
}

/** Online boxes that hold something and were not checked for `everyMs`. */
export async function boxesToCheck(db: Database, everyMs: number): Promise<string[]> {
  const rows = await db
    .select({ id: boxes.id })
    .from(boxes)
    .where(
      and(
        eq(boxes.online, true),
        isNull(boxes.revokedAt),
        sql`EXISTS (SELECT 1 FROM ${placements} WHERE ${placements.boxId} = ${boxes.id} AND ${placements.reported} = 'held')`,
        sql`NOT EXISTS (SELECT 1 FROM ${spotChecks} WHERE ${spotChecks.boxId} = ${boxes.id}
          AND ${spotChecks.askedAt} > now() - ${everyMs} * interval '1 millisecond')`,
      ),
    )
    .limit(100);
  return rows.map((row) => row.id);
}

async function challengeFromOrigin(db: Database, assetId: string) {
  const manifest = await manifestOf(db, assetId);
  if (!manifest) throw new HearthError('not_found', 'The asset is not ready.');
  const chunks =
    manifest.chunkHashes.length === 0 ? 0 : Math.ceil(manifest.sizeBytes / manifest.chunkSizeBytes);
  const chunkIndex = Math.floor(Math.random() * chunks);
  const { start, length } = chunkSpan(manifest, chunkIndex);
  const response = await fetch(manifest.originUrl, {
    headers: { range: `bytes=${start}-${start + length - 1}`, 'accept-encoding': 'identity' },
    signal: AbortSignal.timeout(30_000),
  }).catch((cause: unknown) => {
    throw new HearthError('origin_unreachable', `${manifest.originUrl} cannot be reached`, { cause });
  });
  if (response.status !== 206) {
    await response.body?.cancel();
    throw new HearthError(
      'origin_status',
      `${manifest.originUrl} answered ${response.status} to a Range request`,
    );
  }
  const bytes = await readAtMost(response, length);
  if (!createHash('sha256').update(bytes).digest().equals(chunkHash(manifest, chunkIndex))) {
    throw new HearthError(
      'chunk_mismatch',
      `chunk ${chunkIndex} of ${manifest.originUrl} is not what was ingested`,
    );
  }
  const nonce = newNonce();
  const proof = createHash('sha256').update(Buffer.from(nonce, 'hex')).update(bytes).digest('hex');
  return { sha256: manifest.sha256, chunkIndex, nonce, proof };
}

/** What comes, but no more than a byte over `length`: an origin may send without end. */
async function readAtMost(response: Response, length: number): Promise<Buffer> {
  const parts: Uint8Array[] = [];
  let size = 0;
  for await (const part of response.body ?? []) {
    parts.push(part);
    size += part.length;
    if (size > length) break;
  }
  return Buffer.concat(parts);
}
