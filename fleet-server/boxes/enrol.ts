import { and, desc, eq, gt, isNull, lt } from 'drizzle-orm';
import type { z } from 'zod';
import type { Database } from '#fleet/database/database.ts';
import { boxes, claims } from '#fleet/database/schema.ts';
import type { FleetKeys } from '#fleet/keys/fleet-keys.ts';
import { hashSecret } from '#fleet/operators/operators.ts';
import { HearthError } from '#protocol/errors.ts';
import type { EnrolResponse, enrolRequestSchema } from '#protocol/http-fleet.ts';
import { newClaimCode, newId } from '#protocol/ids.ts';

const CLAIM_LIFE_MS = 24 * 3_600_000;
const MAX_OPEN_CLAIMS = 1000;

const open = () => and(isNull(claims.boxId), gt(claims.expiresAt, new Date()));

/**
 * Makes a one-time claim code, good for a day. Only its hash is kept.
 * @throws HearthError `conflict` when too many are open
 */
export async function createClaim(db: Database, label: string | null) {
  await db.delete(claims).where(and(isNull(claims.boxId), lt(claims.expiresAt, new Date())));
  if ((await db.$count(claims, open())) >= MAX_OPEN_CLAIMS) {
    throw new HearthError(
      'conflict',
      `There are ${MAX_OPEN_CLAIMS} unused claim codes; use some, or let them expire.`,
    );
  }
  const code = newClaimCode();
  const expiresAt = new Date(Date.now() + CLAIM_LIFE_MS);
  await db.insert(claims).values({ codeHash: hashSecret(code), hint: code.slice(0, 4), label, expiresAt });
  return { code, label, expiresAt };
}

/** The unused codes, masked but for their first group. */
export async function openClaims(db: Database) {
  const rows = await db.select().from(claims).where(open()).orderBy(desc(claims.createdAt)).limit(200);
  return rows.map((row) => ({ code: `${row.hint}-••••-••••`, label: row.label, expiresAt: row.expiresAt }));
}

/**
 * Lets a box in: uses up the claim code and signs the box's key. A box that lost the answer asks again with the
 * same code and key, and gets the same id.
 * @throws HearthError `claim_invalid`, `csr_invalid`
 */
export async function enrol(
  db: Database,
  keys: FleetKeys,
  request: z.infer<typeof enrolRequestSchema>,
  brokerUrl: string,
): Promise<EnrolResponse> {
  return db.transaction(async (tx) => {
    const [claim] = await tx
      .select()
      .from(claims)
      .where(eq(claims.codeHash, hashSecret(request.claimCode)))
      .for('update');
    if (!claim || claim.expiresAt <= new Date()) {
      throw new HearthError(
        'claim_invalid',
        'This claim code is wrong or has expired. Ask your operator for a new one.',
      );
    }
    const [before] = claim.boxId ? await tx.select().from(boxes).where(eq(boxes.id, claim.boxId)) : [];
    const boxId = before?.id ?? newId('box');
    const label = before?.label ?? claim.label ?? `Box ${boxId.slice(4, 8).toUpperCase()}`;
    const { certificatePem, keyFingerprint } = await keys.ca.signBox(request.csr, boxId);
    if (before && (!before.keyFingerprint.equals(keyFingerprint) || before.revokedAt)) {
      throw new HearthError(
        'claim_invalid',
        'This claim code was used by another box. Ask your operator for a new one.',
      );
    }
    if (!before) {
      await tx.insert(boxes).values({ id: boxId, label, keyFingerprint, agentVersion: request.agentVersion });
      await tx.update(claims).set({ boxId }).where(eq(claims.codeHash, claim.codeHash));
    }
    return {
      boxId,
      label,
      certificate: certificatePem,
      caCertificate: keys.ca.certificatePem,
      brokerUrl,
      commandKey: keys.commandPublicKeyPem,
    };
  });
}
