import { openToken, TOKEN_CHARS } from '#protocol/delivery-token.ts';
import { dialProof } from '#protocol/dial-back.ts';
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
  /** Delivered. */
  sentBytes: number;
}

/** Tokens that are remembered at least; twice as many at most. */
const REMEMBERED = 4096;
/**
 * A player that seeks asks for another range before the response it has given up is closed, and a download manager
 * asks for several at once; the router entitles to the asset's size. To send them away for that would cost them a
 * detour past this box. So ranges under way may together promise twice what is entitled, as long as what was really
 * sent is less: a client that then takes them all gets at most that much unpaid.
 */
const RANGE_SLACK = 2;

/** Whether a response may still be begun under an entitlement. @param isPart a range of the asset */
export function mayBegin(entitlement: OpenEntitlement, isPart: boolean): boolean {
  const { maxBytes, sentBytes, takenBytes } = entitlement;
  return sentBytes < maxBytes && takenBytes < (isPart ? RANGE_SLACK * maxBytes : maxBytes);
}

/**
 * Verifies delivery tokens, each once: an HMAC per request would cost more than the request. Remembers a bounded
 * number, those longest unused forgotten first; forgeries are never remembered.
 */
export class TokenGate {
  #boxId: string | null = null;
  #key: Buffer | null = null;
  /** Used since `#older` was begun. */
  #known = new Map<string, OpenEntitlement>();
  #older = new Map<string, OpenEntitlement>();

  /** Sets what tokens are verified for and with. */
  configure(boxId: string | null, key: Buffer | null): void {
    this.#boxId = boxId;
    this.#key = key;
    this.#known.clear();
    this.#older.clear();
  }

  /** False until the fleet has told the key. */
  get ready(): boolean {
    return this.#key !== null;
  }

  /** What the fleet's dial-back asks for; null until the fleet has told the key. */
  proofOf(nonce: string): string | null {
    return this.#boxId && this.#key ? dialProof(this.#key, this.#boxId, nonce) : null;
  }

  /**
   * @param nowMs the fleet's time, or null while unknown
   * @throws HearthError `token_*`, or `unavailable` while there is no key
   */
  open(token: string, siteId: string, path: string, nowMs: number | null): OpenEntitlement {
    const known = this.#known.get(token) ?? this.#again(token);
    if (known && known.siteId === siteId && covers(known.prefix, path)) {
      if (nowMs !== null && known.expiresAtMs <= nowMs) {
        this.#known.delete(token);
        throw new HearthError('token_expired', 'the link has expired');
      }
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
      sentBytes: 0,
    };
    this.#remember(entitlement);
    return entitlement;
  }

  /** One not used lately. */
  #again(token: string): OpenEntitlement | undefined {
    const known = this.#older.get(token);
    if (known) this.#remember(known);
    return known;
  }

  /** Two generations stand for an order of use: a use costs a look and no change. */
  #remember(entitlement: OpenEntitlement): void {
    if (this.#known.size >= REMEMBERED) {
      this.#older = this.#known;
      this.#known = new Map();
    }
    this.#known.set(entitlement.token, entitlement);
  }
}

function covers(prefix: string, path: string): boolean {
  return prefix.endsWith('/') ? path.startsWith(prefix) : path === prefix;
}
