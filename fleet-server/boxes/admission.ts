import type { TLSSocket } from 'node:tls';
import { and, eq, isNull, sql } from 'drizzle-orm';
import type { Database } from '#fleet/database/database.ts';
import { boxes } from '#fleet/database/schema.ts';
import { fingerprintOf } from '#fleet/keys/certificate-authority.ts';
import { HearthError } from '#protocol/errors.ts';
import { boxIdSchema } from '#protocol/ids.ts';

/**
 * The box a certificate names, which the fleet's CA has signed: not yet whether that box may come.
 * @throws HearthError `forbidden`
 */
export function boxNamedBy(socket: TLSSocket): string {
  const boxId = /^CN=(.+)$/m.exec(socket.getPeerX509Certificate?.()?.subject ?? '')?.[1];
  if (!boxId || !boxIdSchema.safeParse(boxId).success) {
    throw new HearthError('forbidden', 'its certificate does not name a box');
  }
  return boxId;
}

/**
 * Who is at the other end of a TLS connection: its certificate, which the fleet's CA signed, names the box; the key
 * must be the one that was enrolled, and not revoked since.
 * @returns the box's id
 * @throws HearthError `forbidden`
 */
export async function admitBox(db: Database, socket: TLSSocket): Promise<string> {
  const boxId = boxNamedBy(socket);
  const certificate = socket.getPeerX509Certificate();
  if (!certificate) throw new HearthError('forbidden', 'it shows no certificate');
  const [box] = await db
    .select({ keyFingerprint: boxes.keyFingerprint, revokedAt: boxes.revokedAt })
    .from(boxes)
    .where(eq(boxes.id, boxId));
  const fingerprint = fingerprintOf(certificate.publicKey.export({ type: 'spki', format: 'der' }));
  if (!box?.keyFingerprint.equals(fingerprint)) {
    throw new HearthError('forbidden', 'this box is not enrolled here');
  }
  if (box.revokedAt) throw new HearthError('forbidden', 'this box is revoked');
  return boxId;
}

/** Which of these boxes are enrolled no more, or revoked. */
export async function noLongerAdmitted(db: Database, boxIds: readonly string[]): Promise<string[]> {
  if (boxIds.length === 0) return [];
  const admitted = await db
    .select({ id: boxes.id })
    .from(boxes)
    .where(and(sql`${boxes.id} = ANY(${sql.param([...boxIds])}::text[])`, isNull(boxes.revokedAt)));
  const good = new Set(admitted.map((box) => box.id));
  return boxIds.filter((id) => !good.has(id));
}
