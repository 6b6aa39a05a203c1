// tsyringe, which x509 is built with, wants this first.
import 'reflect-metadata';
import * as x509 from '@peculiar/x509';
import { sql } from 'drizzle-orm';
import type { Logger } from 'pino';
import { enqueue } from '#fleet/commands/outbox.ts';
import type { Database } from '#fleet/database/database.ts';
import { HearthError, messageOf } from '#protocol/errors.ts';
import { clip } from '#protocol/messages.ts';
import type { CERTIFICATE_PROBLEMS } from '#protocol/reach.ts';
import type { AcmeIssuer } from './acme.ts';

export interface IssuanceOptions {
  domain: string;
  /** Certificates at most in any three hours: a CA's limit on orders, shared by the whole fleet. */
  perThreeHours: number;
}

/** First wait after a failure; doubles up to a day, ms. */
const RETRY_MS = 60_000;
const LONGEST_RETRY_MS = 86_400_000;
/** A try that has not ended by then died with its process, ms. */
const TRY_MS = 600_000;

/** Whose requests there are. A box is sent what it asked for; a relay looks for it (relay/own-name.ts). */
const KINDS = {
  relay: {
    table: sql`relay_certificates`,
    from: sql`relay_certificates`,
    boxId: sql`NULL`,
    labelled: (label: string) => sql`name_label = ${label}`,
  },
  box: {
    table: sql`box_certificates`,
    from: sql`box_certificates JOIN boxes ON boxes.id = box_id AND revoked_at IS NULL`,
    boxId: sql`box_id`,
    labelled: (label: string) => sql`box_id = (SELECT id FROM boxes WHERE name_label = ${label})`,
  },
};

/**
 * Takes a box's request. The same request again changes nothing; one for a new key replaces it.
 * @throws HearthError `csr_invalid` when it is not for the box's own name
 */
export async function requestCertificate(
  db: Database,
  boxId: string,
  csr: string,
  domain: string,
): Promise<void> {
  const { rows } = await db.execute<{ name_label: string }>(
    sql`SELECT name_label FROM boxes WHERE id = ${boxId} AND revoked_at IS NULL`,
  );
  const label = rows[0]?.name_label;
  if (!label) throw new HearthError('forbidden', 'this box is not enrolled here');
  await checkRequest(csr, `${label}.${domain}`);
  await db.execute(sql`
    INSERT INTO box_certificates (box_id, csr, state) VALUES (${boxId}, ${csr}, 'waiting')
    ON CONFLICT (box_id) DO UPDATE SET csr = excluded.csr, state = 'waiting', attempts = 0, next_try_at = now(),
      problem = NULL
    WHERE box_certificates.csr <> excluded.csr`);
  // It may ask since it never got what was issued.
  await deliver(db, boxId);
}

/** Exactly this name, a P-256 key, and signed by it. */
async function checkRequest(pem: string, name: string): Promise<void> {
  let request: x509.Pkcs10CertificateRequest;
  try {
    request = new x509.Pkcs10CertificateRequest(pem);
  } catch (cause) {
    throw new HearthError('csr_invalid', 'the certificate request is not PKCS#10 in PEM', { cause });
  }
  const extension = request.extensions.find((one) => one instanceof x509.SubjectAlternativeNameExtension);
  const names = extension?.names.items ?? [];
  if (names.length !== 1 || names[0]?.type !== 'dns' || names[0].value !== name) {
    throw new HearthError('csr_invalid', `the certificate request must be for ${name} and nothing else`);
  }
  const { namedCurve } = request.publicKey.algorithm as { namedCurve?: string };
  if (namedCurve !== 'P-256') throw new HearthError('csr_invalid', 'the key must be ECDSA P-256');
  if (!(await request.verify().catch(() => false))) {
    throw new HearthError('csr_invalid', 'the certificate request is not signed by its own key');
  }
}

/** Sends a box the certificate it asked for, if there is one. */
async function deliver(db: Database, boxId: string): Promise<void> {
  const { rows } = await db.execute<{ chain: string }>(
    sql`SELECT chain FROM box_certificates WHERE box_id = ${boxId} AND state = 'issued'`,
  );
  const chain = rows[0]?.chain;
  if (chain) await enqueue(db, boxId, 'certificate', { type: 'certificate', chain });
}

/**
 * Brings one waiting request to its end. Any number of processes may call this at once.
 * @returns false when none is due, or the CA's limit is reached
 */
export async function issueNext(
  db: Database,
  issuer: Pick<AcmeIssuer, 'issue'>,
  options: IssuanceOptions,
  log: Logger,
): Promise<boolean> {
  const next = await claim(db, options.perThreeHours);
  if (!next) return false;
  const { kind, boxId, label, csr, attempts } = next;
  const { table, labelled } = KINDS[kind];
  const name = `${label}.${options.domain}`;
  try {
    const chain = await issuer.issue(name, csr, {
      publish: async (value) => {
        await db.execute(
          sql`INSERT INTO acme_challenges (name_label, value) VALUES (${label}, ${value}) ON CONFLICT DO NOTHING`,
        );
      },
      retract: async (value) => {
        await db.execute(sql`DELETE FROM acme_challenges WHERE name_label = ${label} AND value = ${value}`);
      },
    });
    const expiresAt = new x509.X509Certificate(chain).notAfter;
    // A newer request that came meanwhile goes on waiting.
    await db.execute(sql`
      UPDATE ${table} SET state = 'issued', chain = ${chain}, issued_at = now(),
        expires_at = ${expiresAt.toISOString()}, problem = NULL, problem_code = NULL, failing_since = NULL
      WHERE ${labelled(label)} AND csr = ${csr}`);
    if (boxId !== null) await deliver(db, boxId);
    log.info({ boxId, name, expiresAt }, 'a certificate was issued');
  } catch (error) {
    const waitMs =
      Math.min(LONGEST_RETRY_MS, RETRY_MS * 2 ** Math.min(attempts, 20)) * (0.5 + Math.random() / 2);
    const problem = clip(messageOf(error));
    await db.execute(sql`
      UPDATE ${table} SET problem = ${problem}, problem_code = ${problemCodeOf(problem)},
        failing_since = coalesce(failing_since, now()), next_try_at = now() + ${waitMs} * interval '1 millisecond'
      WHERE ${labelled(label)} AND csr = ${csr}`);
    log.warn({ boxId, name, problem, retryInS: Math.round(waitMs / 1000) }, 'no certificate yet');
  }
  return true;
}

/** What kind of trouble the CA's words tell of (RFC 8555 section 6.7), for who cannot read them. */
export function problemCodeOf(problem: string): (typeof CERTIFICATE_PROBLEMS)[number] {
  if (/rate ?limit|too many|\b429\b/i.test(problem)) return 'rate_limited';
  if (/ENOTFOUND|EAI_AGAIN|ECONN|EHOST|ENET|ETIMEDOUT|timeout|socket hang up|\b50[234]\b/i.test(problem))
    return 'ca_unreachable';
  return 'ca_refused';
}

interface Claimed {
  kind: keyof typeof KINDS;
  /** Null: a relay's. */
  boxId: string | null;
  label: string;
  csr: string;
  attempts: number;
}

/** Takes the request that has waited longest, relays' before boxes', so that nobody else does for a while. */
async function claim(db: Database, perThreeHours: number): Promise<Claimed | null> {
  return db.transaction(async (tx) => {
    // Counted under a lock: several processes together must keep to the CA's limit.
    await tx.execute(sql`SELECT pg_advisory_xact_lock(7216000011)`);
    for (const kind of ['relay', 'box'] as const) {
      const { table, from, boxId, labelled } = KINDS[kind];
      const { rows } = await tx.execute<{
        box_id: string | null;
        label: string;
        csr: string;
        attempts: number;
      }>(sql`
        SELECT ${boxId} AS box_id, name_label AS label, csr, attempts FROM ${from}
        WHERE state = 'waiting' AND next_try_at <= now()
          AND (SELECT count(*) FROM box_certificates WHERE issued_at > now() - interval '3 hours')
            + (SELECT count(*) FROM relay_certificates WHERE issued_at > now() - interval '3 hours') < ${perThreeHours}
        ORDER BY next_try_at LIMIT 1 FOR UPDATE OF ${table} SKIP LOCKED`);
      const row = rows[0];
      if (!row) continue;
      await tx.execute(sql`
        UPDATE ${table} SET attempts = attempts + 1, next_try_at = now() + ${TRY_MS} * interval '1 millisecond'
        WHERE ${labelled(row.label)}`);
      return { kind, boxId: row.box_id, label: row.label, csr: row.csr, attempts: row.attempts };
    }
    return null;
  });
}

/** Challenges whose process died are forgotten. */
export async function sweepChallenges(db: Database): Promise<void> {
  await db.execute(sql`DELETE FROM acme_challenges WHERE created_at < now() - interval '1 hour'`);
}
