import { openToken, TOKEN_CHARS } from '#protocol/delivery-token.ts';
import { HearthError } from '#protocol/errors.ts';

/** A token that was verified, and what has been used of it. */
export interface OpenEntitlement {
  readonly token: string;
  readonly siteId: string;
  readonly prefix: string;
  readonly expiresAtMs: number;
  readonly maxBytes: number;
  /** Delivered, or about to be by responses under way. */
  takenBytes: number;
}

const REMEMBERED = 4096;

/**
 * Verifies delivery tokens, each once: an HMAC per request would cost more than the request. Remembers a bounded
 * number, least recently used forgotten first; forgeries are never remembered.
 */
export class TokenGate {
  #boxId: string | null = null;
  #key: Buffer | null = null;
  readonly #known = new Map<string, OpenEntitlement>();

  /** Sets what tokens are verified for and with. */
  configure(boxId: string | null, key: Buffer | null): void {
    this.#boxId = boxId;
    this.#key = key;
    this.#known.clear();
  }

  /** False until the fleet has told the key. */
  get ready(): boolean {
    return this.#key !== null;
  }

  /**
   * @param nowMs the fleet's time, or null while unknown
   * @throws HearthError `token_*`, or `unavailable` while there is no key
   */
  open(token: string, siteId: string, path: string, nowMs: number | null): OpenEntitlement {
    const known = this.#known.get(token);
    if (known && known.siteId === siteId && covers(known.prefix, path)) {
      if (nowMs !== null && known.expiresAtMs <= nowMs) {
        this.#known.delete(token);
        throw new HearthError('token_expired', 'the link has expired');
      }
      this.#known.delete(token);
      this.#known.set(token, known);
      return known;
    }
    if (!this.#boxId || !this.#key) throw new HearthError('unavailable', 'this box is not paired yet');
    if (token.length !== TOKEN_CHARS) throw new HearthError('token_malformed', 'the link is damaged');
    const opened = openToken(token, { boxId: this.#boxId, siteId, path }, this.#key, nowMs);
    const entitlement: OpenEntitlement = {
      token,
      siteId,
      prefix: Buffer.from(path).toString('utf8', 0, opened.prefixBytes),
      expiresAtMs: opened.expiresAtMs,
      maxBytes: opened.maxBytes,
      takenBytes: 0,
    };
    this.#known.set(token, entitlement);
    if (this.#known.size > REMEMBERED) this.#known.delete(this.#known.keys().next().value as string);
    return entitlement;
  }
}

function covers(prefix: string, path: string): boolean {
  return prefix.endsWith('/') ? path.startsWith(prefix) : path === prefix;
}
