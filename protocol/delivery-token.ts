import { createHmac, hkdfSync, randomBytes, timingSafeEqual } from 'node:crypto';
import { HearthError } from './errors.ts';

/**
 * The delivery token: a bounded entitlement the router issues, the box checks and the fleet settles.
 *
 * Layout, 57 bytes, base64url without padding (76 characters):
 *
 *     0      version, 1
 *     1-12   serial, random: what settlement counts against
 *     13-16  expiry, seconds since 1970, unsigned, big-endian
 *     17-22  most bytes that may be delivered under it, unsigned, big-endian
 *     23-24  length of the prefix in bytes, unsigned, big-endian
 *     25-40  check: HMAC-SHA256(the box's delivery key, scope)[0..16]
 *     41-56  seal:  HMAC-SHA256(the fleet's seal key, check || scope)[0..16]
 *
 * where scope = bytes 0-24 || box id || 0 || site id || 0 || prefix. The box can verify `check` with one HMAC,
 * and so withstands floods of forgeries on a slow CPU, but it cannot make a `seal`: what a box reports under a
 * token is proof that the fleet issued it, with no row written when it was issued.
 */
const VERSION = 1;
const SERIAL_END = 13;
const HEADER_BYTES = 25;
const MAC_BYTES = 16;
const TOKEN_BYTES = HEADER_BYTES + 2 * MAC_BYTES;
/** Characters in a token as it stands in a URL. */
export const TOKEN_CHARS = Math.ceil((TOKEN_BYTES * 4) / 3);

/** What a token entitles to. */
export interface TokenScope {
  boxId: string;
  siteId: string;
  /** What it opens: everything below a prefix that ends with "/", or the one path that is the prefix. */
  prefix: string;
  maxBytes: number;
  expiresAtMs: number;
}

export interface OpenedToken {
  /** Hex, 24 characters. */
  serial: string;
  expiresAtMs: number;
  maxBytes: number;
  prefixBytes: number;
}

/** The key box `boxId` checks tokens with, derived (HKDF-SHA256, RFC 5869) so that no process must look it up. */
export function deliveryKeyFor(fleetSecret: Buffer, boxId: string): Buffer {
  return Buffer.from(hkdfSync('sha256', fleetSecret, '', `hearth delivery ${boxId}`, 32));
}

/** The key only the fleet has. */
export function sealKeyFor(fleetSecret: Buffer): Buffer {
  return Buffer.from(hkdfSync('sha256', fleetSecret, '', 'hearth seal', 32));
}

/**
 * Seals tokens by which one box fills itself from another. A box cannot tell them from a client's; settlement can,
 * and pays nothing for them.
 */
export function fillKeyFor(sealKey: Buffer): Buffer {
  return Buffer.from(hkdfSync('sha256', sealKey, '', 'hearth fill', 32));
}

/** Makes a token. `deliveryKey` and `sealKey` are 32 bytes; expiry is rounded up to a second. */
export function mintToken(scope: TokenScope, deliveryKey: Buffer, sealKey: Buffer): string {
  const token = Buffer.alloc(TOKEN_BYTES);
  token[0] = VERSION;
  randomBytes(12).copy(token, 1);
  token.writeUInt32BE(Math.ceil(scope.expiresAtMs / 1000), SERIAL_END);
  token.writeUIntBE(Math.min(scope.maxBytes, 2 ** 48 - 1), 17, 6);
  token.writeUInt16BE(Buffer.byteLength(scope.prefix), 23);
  const tail = scopeTail(scope.boxId, scope.siteId, scope.prefix);
  checkOf(token, tail, deliveryKey).copy(token, HEADER_BYTES);
  sealOf(token, tail, sealKey).copy(token, HEADER_BYTES + MAC_BYTES);
  return token.toString('base64url');
}

/**
 * Verifies a token as a box does, for a request to `path` of `siteId`.
 * @param nowMs null while the box has no clock: expiry is then not checked
 * @returns what it entitles to; the prefix is the first `prefixBytes` bytes of `path`
 * @throws HearthError `token_malformed`, `token_out_of_prefix`, `token_forged` or `token_expired`
 */
export function openToken(
  text: string,
  request: { boxId: string; siteId: string; path: string },
  deliveryKey: Buffer,
  nowMs: number | null,
): OpenedToken {
  const token = decode(text);
  const opened = readHeader(token);
  const path = Buffer.from(request.path);
  // A token for /a/ or /a never opens /ab; the check covers the prefix's very bytes.
  const whole = opened.prefixBytes === path.length;
  if (opened.prefixBytes > path.length || (!whole && path[opened.prefixBytes - 1] !== 0x2f)) {
    throw new HearthError('token_out_of_prefix', 'the link is for another part of the site');
  }
  const tail = scopeTail(request.boxId, request.siteId, path.subarray(0, opened.prefixBytes));
  const check = token.subarray(HEADER_BYTES, HEADER_BYTES + MAC_BYTES);
  if (!timingSafeEqual(checkOf(token, tail, deliveryKey), check)) {
    throw new HearthError('token_forged', 'the link was not made by this fleet for this box and path');
  }
  if (nowMs !== null && opened.expiresAtMs <= nowMs) {
    throw new HearthError('token_expired', 'the link has expired');
  }
  return opened;
}

/**
 * Verifies a token as the fleet does at settlement: was it issued, for this box, site and prefix?
 * Expiry is not checked here: deliveries are reported after it.
 * @throws HearthError `token_malformed` or `token_forged`
 */
export function settleToken(
  text: string,
  scope: Pick<TokenScope, 'boxId' | 'siteId' | 'prefix'>,
  sealKey: Buffer,
): OpenedToken {
  const token = decode(text);
  const opened = readHeader(token);
  const tail = scopeTail(scope.boxId, scope.siteId, scope.prefix);
  const seal = token.subarray(HEADER_BYTES + MAC_BYTES);
  if (
    opened.prefixBytes !== Buffer.byteLength(scope.prefix) ||
    !timingSafeEqual(sealOf(token, tail, sealKey), seal)
  ) {
    throw new HearthError('token_forged', 'the token was not issued for this box, site and prefix');
  }
  return opened;
}

function decode(text: string): Buffer {
  // base64url decoding ignores what it does not know; one token must have one spelling.
  const token = /^[A-Za-z0-9_-]+$/.test(text) ? Buffer.from(text, 'base64url') : Buffer.alloc(0);
  if (text.length !== TOKEN_CHARS || token.length !== TOKEN_BYTES || token[0] !== VERSION) {
    throw new HearthError('token_malformed', 'the link is damaged');
  }
  return token;
}

function readHeader(token: Buffer): OpenedToken {
  return {
    serial: token.toString('hex', 1, SERIAL_END),
    expiresAtMs: token.readUInt32BE(SERIAL_END) * 1000,
    maxBytes: token.readUIntBE(17, 6),
    prefixBytes: token.readUInt16BE(23),
  };
}

function scopeTail(boxId: string, siteId: string, prefix: string | Buffer): Buffer {
  return Buffer.concat([Buffer.from(`${boxId}\0${siteId}\0`), Buffer.from(prefix as string)]);
}

function checkOf(token: Buffer, tail: Buffer, key: Buffer): Buffer {
  return createHmac('sha256', key)
    .update(token.subarray(0, HEADER_BYTES))
    .update(tail)
    .digest()
    .subarray(0, MAC_BYTES);
}

function sealOf(token: Buffer, tail: Buffer, key: Buffer): Buffer {
  return createHmac('sha256', key)
    .update(token.subarray(HEADER_BYTES, HEADER_BYTES + MAC_BYTES))
    .update(token.subarray(0, HEADER_BYTES))
    .update(tail)
    .digest()
    .subarray(0, MAC_BYTES);
}
