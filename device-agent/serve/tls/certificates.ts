import { realpath, stat } from 'node:fs/promises';
import tls from 'node:tls';
import type { Logger } from 'pino';
import { readText } from '#agent/durable/durable-file.ts';
import { HearthError, messageOf } from '#protocol/errors.ts';

/** A certificate chain and its key, PEM. */
export interface Certificate {
  cert: string;
  key: string;
}

/** Where the content port's certificate comes from: files now, whoever obtains one (ACME) as well. */
export class Certificates {
  readonly #listeners: ((certificate: Certificate) => void)[] = [];
  #current: Certificate | null = null;

  /** Null until there is one. */
  get current(): Certificate | null {
    return this.#current;
  }

  /** Called with each new certificate: connections made from then on are to use it. */
  onChange(listener: (certificate: Certificate) => void): void {
    this.#listeners.push(listener);
  }

  /** Hands a certificate in. @throws HearthError `bad_request` when the two do not fit or are none */
  set(certificate: Certificate): void {
    try {
      tls.createSecureContext(certificate);
    } catch (error) {
      throw new HearthError('bad_request', `certificate and key cannot be used: ${messageOf(error)}`, {
        cause: error,
      });
    }
    if (this.#current?.cert === certificate.cert && this.#current.key === certificate.key) return;
    this.#current = certificate;
    for (const listener of this.#listeners) listener(certificate);
  }
}

/** Longest chain or key that is read, bytes. */
const MOST_BYTES = 256 * 1024;

/**
 * Keeps `Certificates` in step with two PEM files. They are looked at now and then: what renews them replaces them
 * in any of many ways, behind links too, and a notice of the file system would miss half of those. While they do not
 * fit together (one is written before the other) what was there before stays in use.
 */
export class CertificateFiles {
  readonly #files: { cert: string; key: string };
  readonly #to: Certificates;
  readonly #log: Logger;
  readonly #timer: NodeJS.Timeout;
  /** What was read last, good or bad, so that each is told once. */
  #seen = '';
  #looking: Promise<void>;

  constructor(files: { cert: string; key: string }, to: Certificates, everyMs: number, log: Logger) {
    this.#files = files;
    this.#to = to;
    this.#log = log;
    this.#looking = this.#look();
    this.#timer = setInterval(() => {
      this.#looking = this.#looking.then(() => this.#look());
    }, everyMs);
    this.#timer.unref();
  }

  /** Resolves when the files have been looked at. */
  async settled(): Promise<void> {
    await this.#looking;
  }

  async close(): Promise<void> {
    clearInterval(this.#timer);
    await this.#looking;
  }

  async #look(): Promise<void> {
    const { cert, key } = this.#files;
    try {
      const stats = await Promise.all([stat(cert), stat(key)]);
      const seen = stats.map(({ ino, size, mtimeMs }) => `${ino} ${size} ${mtimeMs}`).join();
      if (seen === this.#seen) return;
      this.#seen = seen;
      const [certText, keyText] = await Promise.all([readPem(cert), readPem(key)]);
      this.#to.set({ cert: certText, key: keyText });
      this.#log.info({ file: cert }, 'the content port has a certificate');
    } catch (error) {
      const seen = messageOf(error);
      if (this.#seen === seen) return;
      if (!(error instanceof HearthError)) this.#seen = seen;
      this.#log.warn({ reason: seen }, 'the certificate files cannot be used; what was there before stays');
    }
  }
}

/** Links are followed here: that is how ACME clients lay out theirs, and these folders are the owner's own. */
async function readPem(file: string): Promise<string> {
  return readText(await realpath(file), MOST_BYTES);
}
