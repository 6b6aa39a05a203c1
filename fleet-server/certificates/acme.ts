import { readFile } from 'node:fs/promises';
import https from 'node:https';
import { setTimeout as sleep } from 'node:timers/promises';
import acme from 'acme-client';
import { HearthError, messageOf } from '#protocol/errors.ts';

export interface AcmeOptions {
  /** The CA's directory (RFC 8555 section 7.1.1). */
  directoryUrl: string;
  /** PEM; the account is this key. */
  accountKey: string;
  contact: string | null;
  /** A file with the CA that signed the ACME server's own certificate, where that is none of the public ones. */
  caFile: string | null;
}

/** Where the CA looks for its answer: DNS-01, `_acme-challenge` below the name. */
export interface ChallengeBoard {
  publish(value: string): Promise<void>;
  retract(value: string): Promise<void>;
}

/** How often an order is looked at until its certificate is there, and how many times. */
const LOOK_MS = 1_000;
const MOST_LOOKS = 60;
const AWAY_MS = 10_000;

/** What the library keeps beside axios' own defaults, and its types do not tell of. */
const SETTINGS = (acme.axios.defaults as { acmeSettings?: Record<string, unknown> }).acmeSettings;

/** Gets certificates from a CA by ACME, proving the name by DNS-01. */
export class AcmeIssuer {
  readonly #client: acme.Client;
  readonly #contact: string[];
  readonly #directoryUrl: string;
  readonly #ca: Buffer | undefined;
  #account: Promise<unknown> | null = null;

  static async open(options: AcmeOptions): Promise<AcmeIssuer> {
    const ca = options.caFile ? await readFile(options.caFile) : undefined;
    if (ca) {
      acme.axios.defaults.httpsAgent = new https.Agent({ ca, keepAlive: true });
    }
    acme.axios.defaults.timeout = 30_000;
    // A CA at its limit says when to come again, and that may be days: the library would sit there for as long, and
    // with it the job. What failed is tried again later by its row, whoever dies meanwhile.
    Object.assign(acme.axios.defaults, { acmeSettings: { ...SETTINGS, retryMaxAttempts: 0 } });
    return new AcmeIssuer(options, ca);
  }

  private constructor(options: AcmeOptions, ca: Buffer | undefined) {
    this.#directoryUrl = options.directoryUrl;
    this.#ca = ca;
    this.#contact = options.contact ? [`mailto:${options.contact}`] : [];
    this.#client = new acme.Client({
      directoryUrl: options.directoryUrl,
      accountKey: options.accountKey,
      backoffAttempts: 12,
      backoffMin: 1_000,
      backoffMax: 10_000,
    });
  }

  /**
   * Orders a certificate for one name.
   * @param csr PKCS#10 in PEM for exactly this name
   * @returns the chain in PEM, leaf first
   * @throws HearthError `unavailable` when it may work later, with the CA's reason
   */
  async issue(name: string, csr: string, board: ChallengeBoard): Promise<string> {
    const published: string[] = [];
    try {
      await this.#ensureAccount();
      const order = await this.#client.createOrder({ identifiers: [{ type: 'dns', value: name }] });
      for (const authorization of await this.#client.getAuthorizations(order)) {
        if (authorization.status === 'valid') continue;
        const challenge = authorization.challenges.find(({ type }) => type === 'dns-01');
        if (!challenge) throw new Error('the CA does not offer DNS-01');
        const value = await this.#client.getChallengeKeyAuthorization(challenge);
        published.push(value);
        await board.publish(value);
        await this.#client.completeChallenge(challenge);
        await this.#client.waitForValidStatus(challenge);
      }
      return await this.#client.getCertificate(await this.#finalize(order, csr));
    } catch (cause) {
      // Where no answer came at all the library fails over its own error, and what happened is lost: asked once more.
      const reason = cause instanceof TypeError ? await this.#whyAway() : messageOf(cause);
      throw new HearthError('unavailable', `the CA gave no certificate: ${reason}`, { cause });
    } finally {
      for (const value of published) await board.retract(value).catch(() => undefined);
    }
  }

  /**
   * Hands the request in and waits until the certificate is there: the library takes an order that is still `ready`
   * for one that is done.
   */
  async #finalize(order: acme.Order, csr: string): Promise<acme.Order> {
    let now = await this.#client.finalizeOrder(order, csr);
    for (let look = 0; now.status !== 'valid'; look++) {
      if (now.status === 'invalid') throw new Error('the CA found the order invalid');
      if (look === MOST_LOOKS) throw new Error(`the order is still ${now.status}`);
      await sleep(LOOK_MS);
      now = await this.#client.getOrder(now);
    }
    return now;
  }

  /** Why the CA does not answer. */
  #whyAway(): Promise<string> {
    return new Promise((resolve) => {
      const request = https.get(
        this.#directoryUrl,
        { ca: this.#ca, agent: false, timeout: AWAY_MS },
        (answer) => {
          answer.destroy();
          resolve('ECONNRESET: it broke off, and answers again');
        },
      );
      request.once('timeout', () => request.destroy(new Error('ETIMEDOUT: it does not answer')));
      request.once('error', (error) => resolve(messageOf(error)));
    });
  }

  /** The account is made at the first order, or found by its key. */
  async #ensureAccount(): Promise<void> {
    this.#account ??= this.#client.createAccount({ termsOfServiceAgreed: true, contact: this.#contact });
    try {
      await this.#account;
    } catch (error) {
      this.#account = null;
      throw error;
    }
  }
}
