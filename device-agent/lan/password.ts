import { randomBytes, scrypt, timingSafeEqual } from 'node:crypto';
import { unlink } from 'node:fs/promises';
import path from 'node:path';
import * as z from 'zod';
import { errnoOf, readTextIfAny, writeFileDurably } from '#agent/durable/durable-file.ts';
import { HearthError } from '#protocol/errors.ts';

/** 32 MiB and about 0.1 s on a PC, a second or two on a board: dear to guess, bearable to type. */
const COST = { N: 32_768, r: 8, p: 1, maxmem: 64 * 1024 * 1024 } as const;
const FILE = 'password.json';
const KEY_BYTES = 32;
/** Hashings that may wait for their turn. */
const MOST_WAITING = 8;

const recordSchema = z.object({
  v: z.literal(1),
  salt: z.string(),
  hash: z.string(),
  N: z.int(),
  r: z.int(),
  p: z.int(),
});

/** The household's password, kept as its scrypt hash (RFC 7914). */
export class Password {
  readonly #file: string;
  #record: z.infer<typeof recordSchema> | null = null;
  #turn: Promise<unknown> = Promise.resolve();
  #waiting = 0;

  constructor(stateDir: string) {
    this.#file = path.join(stateDir, FILE);
  }

  /**
   * Forgets it, so that the first run is open again once the program has been started anew.
   * @returns false when there was none
   */
  static async forget(stateDir: string): Promise<boolean> {
    try {
      await unlink(path.join(stateDir, FILE));
      return true;
    } catch (error) {
      if (errnoOf(error) === 'ENOENT') return false;
      throw error;
    }
  }

  async open(): Promise<void> {
    const text = await readTextIfAny(this.#file);
    this.#record = text === null ? null : recordSchema.parse(JSON.parse(text));
  }

  get isSet(): boolean {
    return this.#record !== null;
  }

  /** @throws HearthError `conflict` when there is one already */
  async setOnce(password: string): Promise<void> {
    await this.#oneAtATime(async () => {
      if (this.#record)
        throw new HearthError('conflict', 'The password has been set already: log in with it.');
      await this.#write(password);
    });
  }

  /** Sets another; who calls this has made sure that the old one is known. */
  async replace(password: string): Promise<void> {
    await this.#oneAtATime(() => this.#write(password));
  }

  async #write(password: string): Promise<void> {
    const salt = randomBytes(16);
    const { N, r, p } = COST;
    const hash = await derive(password, salt, { N, r, p });
    const record = { v: 1, salt: salt.toString('base64'), hash: hash.toString('base64'), N, r, p } as const;
    await writeFileDurably(this.#file, JSON.stringify(record), 0o600);
    this.#record = record;
  }

  async matches(password: string): Promise<boolean> {
    return this.#oneAtATime(async () => {
      if (!this.#record) return false;
      const { salt, hash, N, r, p } = this.#record;
      const derived = await derive(password, Buffer.from(salt, 'base64'), { N, r, p });
      return timingSafeEqual(derived, Buffer.from(hash, 'base64'));
    });
  }

  /** Each hashing takes 32 MiB: never two at once. */
  async #oneAtATime<T>(work: () => Promise<T>): Promise<T> {
    if (this.#waiting >= MOST_WAITING) {
      throw new HearthError('rate_limited', 'Too many people are logging in at once: try again in a moment.');
    }
    this.#waiting++;
    const result = this.#turn.then(work);
    this.#turn = result.catch(() => undefined);
    return result.finally(() => this.#waiting--);
  }
}

function derive(password: string, salt: Buffer, cost: { N: number; r: number; p: number }): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    scrypt(password.normalize('NFKC'), salt, KEY_BYTES, { ...cost, maxmem: COST.maxmem }, (error, key) => {
      if (error) reject(error);
      else resolve(key);
    });
  });
}
