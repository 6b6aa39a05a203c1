import { createPrivateKey, X509Certificate } from 'node:crypto';
import { mkdir, open, readFile, rename } from 'node:fs/promises';
import path from 'node:path';
import { sql } from 'drizzle-orm';
import type { Logger } from 'pino';
import { z } from 'zod';
import type { Database } from '#fleet/database/database.ts';
import { HearthError, messageOf } from '#protocol/errors.ts';

export interface OwnNameParts {
  db: Database;
  /** `relay1.boxes.example.org` */
  name: string;
  /** Of the name: the zone's own label. */
  label: string;
  /** Only this relay's own: its key lies there. */
  folder: string;
  log: Logger;
  /** There is a certificate, or a newer one. */
  onChange: (certificate: { cert: string; key: string }) => void;
  /** ms since 1970 */
  now: () => number;
  /** How often it is looked whether one has come or is due, ms. */
  lookMs?: number;
}

const LOOK_MS = 15_000;
/** Renewed at two thirds of its life, as the boxes' are. */
const RENEW_AT = 2 / 3;

const certificateSchema = z.object({ cert: z.string(), key: z.string() });
const fileSchema = z.object({
  v: z.literal(1),
  /** What is asked for, until it comes. */
  pending: z.object({ csr: z.string(), key: z.string() }).nullable(),
  current: certificateSchema.nullable(),
});
type Kept = z.infer<typeof fileSchema>;

/**
 * The certificate of a relay's own name, where that lies in the fleet's zone: key and request are made here, the
 * fleet's worker has it issued, and what comes is used from then on, without a restart. What there is stays in use
 * until something newer has come.
 */
export class OwnName {
  readonly #parts: OwnNameParts;
  readonly #file: string;
  readonly #timer: NodeJS.Timeout;
  #kept: Kept = { v: 1, pending: null, current: null };
  #looking: Promise<void>;
  #told = '';

  /** Takes up what was kept, and begins to look. @throws HearthError `bad_request` when its folder cannot be used */
  static async open(parts: OwnNameParts): Promise<OwnName> {
    const file = path.join(parts.folder, `${parts.label}.json`);
    let text: string | null;
    try {
      await mkdir(parts.folder, { recursive: true, mode: 0o700 });
      text = await readFile(file, 'utf8').catch((error: NodeJS.ErrnoException) => {
        if (error.code === 'ENOENT') return null;
        throw error;
      });
    } catch (cause) {
      throw new HearthError('bad_request', `${parts.folder} cannot be used: ${messageOf(cause)}`, { cause });
    }
    return new OwnName(parts, file, text);
  }

  private constructor(parts: OwnNameParts, file: string, text: string | null) {
    this.#parts = parts;
    this.#file = file;
    const read = text === null ? null : readKept(text, parts.name);
    // Another one can always be had.
    if (read) this.#kept = read;
    else if (text !== null) parts.log.warn({ file }, 'the file with the certificate is damaged');
    if (this.#kept.current) parts.onChange(this.#kept.current);
    this.#looking = this.look();
    this.#timer = setInterval(() => void this.look(), parts.lookMs ?? LOOK_MS);
    this.#timer.unref();
  }

  /** Asks for a certificate where one is due, and takes it when it is there. Never throws. */
  look(): Promise<void> {
    const before = this.#looking ?? Promise.resolve();
    this.#looking = before
      .then(() => this.#look())
      .catch((error: unknown) => {
        this.#parts.log.warn({ err: messageOf(error) }, "cannot see to the relay's certificate; tried again");
      });
    return this.#looking;
  }

  async close(): Promise<void> {
    clearInterval(this.#timer);
    await this.#looking;
  }

  async #look(): Promise<void> {
    const { db, label, name, log, onChange, now } = this.#parts;
    const { current, pending: asked } = this.#kept;
    // What was asked for is waited for, also by a clock that was set back.
    if (current && !asked && now() < renewAtMs(current.cert)) return;
    const { csr, key } = asked ?? (await this.#ask());
    // Another request is left to its end: two relays that share a name by mistake would have the CA issue for ever.
    await db.execute(sql`
      INSERT INTO relay_certificates (name_label, csr, state) VALUES (${label}, ${csr}, 'waiting')
      ON CONFLICT (name_label) DO UPDATE SET csr = excluded.csr, state = 'waiting', attempts = 0, next_try_at = now()
      WHERE relay_certificates.csr <> excluded.csr AND relay_certificates.state = 'issued'`);
    const { rows } = await db.execute<{ chain: string | null; problem: string | null }>(sql`
      SELECT CASE WHEN csr = ${csr} AND state = 'issued' THEN chain END AS chain, problem
      FROM relay_certificates WHERE name_label = ${label}`);
    const { chain = null, problem = null } = rows[0] ?? {};
    if (chain === null) {
      if (problem !== null && problem !== this.#told) {
        log.warn({ name, problem }, "the CA gives no certificate for the relay's name; it is tried again");
      }
      this.#told = problem ?? '';
      return;
    }
    const certificate = { cert: chain, key };
    if (!fits(certificate, name))
      throw new HearthError('certificate_invalid', 'what came is not for this key and name');
    await this.#keep({ v: 1, pending: null, current: certificate });
    onChange(certificate);
    log.info({ name, expiresAt: new X509Certificate(chain).validTo }, 'the relay has a new certificate');
  }

  /** Makes key and request. On the disk before they are used: else the answer would be for a key that is gone. */
  async #ask(): Promise<NonNullable<Kept['pending']>> {
    const { crypto } = (await import('acme-client')).default;
    const made = await crypto.createCsr(
      { altNames: [this.#parts.name] },
      await crypto.createPrivateEcdsaKey(),
    );
    const pending = { key: String(made[0]), csr: String(made[1]) };
    await this.#keep({ ...this.#kept, pending });
    return pending;
  }

  async #keep(kept: Kept): Promise<void> {
    const draft = `${this.#file}.${process.pid}`;
    const handle = await open(draft, 'w', 0o600);
    try {
      await handle.writeFile(JSON.stringify(kept));
      await handle.sync();
    } finally {
      await handle.close();
    }
    await rename(draft, this.#file);
    this.#kept = kept;
  }
}

/** Null: it is damaged, or for another name. */
function readKept(text: string, name: string): Kept | null {
  try {
    const kept = fileSchema.parse(JSON.parse(text));
    return kept.current && !fits(kept.current, name) ? null : kept;
  } catch {
    return null;
  }
}

function fits({ cert, key }: { cert: string; key: string }, name: string): boolean {
  const leaf = new X509Certificate(cert);
  return (
    leaf.checkPrivateKey(createPrivateKey(key)) && leaf.checkHost(name, { subject: 'never' }) !== undefined
  );
}

function renewAtMs(chain: string): number {
  const { validFrom, validTo } = new X509Certificate(chain);
  const [from, to] = [Date.parse(validFrom), Date.parse(validTo)];
  return from + (to - from) * RENEW_AT;
}
