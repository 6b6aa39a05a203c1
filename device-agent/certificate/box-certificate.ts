import { createPrivateKey, X509Certificate } from 'node:crypto';
import path from 'node:path';
import * as z from 'zod';
import { readTextIfAny, writeFileDurably } from '#agent/durable/durable-file.ts';
import { makeKeyAndCsr } from '#agent/identity/csr.ts';
import { HearthError } from '#protocol/errors.ts';

const fileSchema = z.object({
  v: z.literal(1),
  /** What is asked for, until it comes. */
  pending: z.object({ serverName: z.string(), privateKey: z.string(), csr: z.string() }).nullable(),
  /** What is served with. */
  current: z
    .object({
      serverName: z.string(),
      privateKey: z.string(),
      chain: z.string(),
      /** When it is to be renewed, ISO 8601. */
      renewAt: z.iso.datetime(),
      expiresAt: z.iso.datetime(),
    })
    .nullable(),
});
type Kept = z.infer<typeof fileSchema>;
export type ServedCertificate = NonNullable<Kept['current']>;

/** Renewed at two thirds of its life; the rest of a tenth of it is spread, so that a fleet does not come at once. */
const RENEW_AT = 2 / 3;
const SPREAD = 1 / 10;

/**
 * The box's own certificate for its name in the fleet's domain. Its key is made here and never leaves; the fleet gets
 * the certificate for it. Kept in the state directory: written when a certificate is asked for and when it comes.
 */
export class BoxCertificate {
  readonly #file: string;
  readonly #random: () => number;
  readonly #listeners: ((served: ServedCertificate) => void)[] = [];
  #kept: Kept = { v: 1, pending: null, current: null };
  #turn: Promise<unknown> = Promise.resolve();

  /** A file that cannot be read counts as none: another certificate can always be had. */
  static async open(stateDir: string, random: () => number = Math.random): Promise<BoxCertificate> {
    const own = new BoxCertificate(path.join(stateDir, 'certificate.json'), random);
    const text = await readTextIfAny(own.#file).catch(() => null);
    const read = text === null ? null : fileSchema.safeParse(parseOrNull(text));
    if (read?.success) own.#kept = read.data;
    return own;
  }

  private constructor(file: string, random: () => number) {
    this.#file = file;
    this.#random = random;
  }

  /** What to serve with; an old one is better than none, so it stays until a newer one has come. */
  get current(): ServedCertificate | null {
    return this.#kept.current;
  }

  onChange(listener: (served: ServedCertificate) => void): void {
    this.#listeners.push(listener);
  }

  /**
   * The request to be sent to the fleet now, the same one until it was answered; null when nothing is wanted.
   * @param serverName this box's name; null: it has none
   * @param nowMs the fleet's time; null while unknown: then what there is counts as good
   */
  wanted(serverName: string | null, nowMs: number | null): Promise<string | null> {
    return this.#inTurn(async () => {
      if (serverName === null) return null;
      const { current, pending } = this.#kept;
      if (current?.serverName === serverName && (nowMs === null || nowMs < Date.parse(current.renewAt)))
        return null;
      if (pending?.serverName === serverName) return pending.csr;
      const { privateKey, csr } = await makeKeyAndCsr(serverName);
      // On the disk before it is sent: else the answer would be for a key that is gone.
      await this.#keep({ ...this.#kept, pending: { serverName, privateKey, csr } });
      return csr;
    });
  }

  /**
   * Takes the chain the fleet got. One for another key than was asked with changes nothing.
   * @throws HearthError `certificate_invalid` when it is not for our key and name
   */
  accept(chain: string): Promise<void> {
    return this.#inTurn(async () => {
      const { pending, current } = this.#kept;
      if (chain === current?.chain) return;
      const leaf = leafOf(chain);
      if (!pending || !leaf.checkPrivateKey(createPrivateKey(pending.privateKey))) {
        throw new HearthError(
          'certificate_invalid',
          'the certificate is not for the key that was asked with',
        );
      }
      if (leaf.checkHost(pending.serverName, { subject: 'never' }) === undefined) {
        throw new HearthError('certificate_invalid', `the certificate is not for ${pending.serverName}`);
      }
      const startMs = Date.parse(leaf.validFrom);
      const endMs = Date.parse(leaf.validTo);
      const renewAtMs = startMs + (endMs - startMs) * (RENEW_AT + SPREAD * this.#random());
      const served: ServedCertificate = {
        serverName: pending.serverName,
        privateKey: pending.privateKey,
        chain,
        renewAt: new Date(renewAtMs).toISOString(),
        expiresAt: new Date(endMs).toISOString(),
      };
      await this.#keep({ v: 1, pending: null, current: served });
      for (const listener of this.#listeners) listener(served);
    });
  }

  async #keep(kept: Kept): Promise<void> {
    await writeFileDurably(this.#file, JSON.stringify(kept));
    this.#kept = kept;
  }

  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const result = this.#turn.then(work);
    this.#turn = result.catch(() => undefined);
    return result;
  }
}

function leafOf(chain: string): X509Certificate {
  try {
    return new X509Certificate(chain);
  } catch (cause) {
    throw new HearthError('certificate_invalid', 'what came is no certificate', { cause });
  }
}

function parseOrNull(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}
