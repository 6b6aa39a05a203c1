import { createHash, randomBytes } from 'node:crypto';
import * as z from 'zod';

const ALPHABET = '0123456789abcdefghjkmnpqrstvwxyz';

/** What an id names; the prefix is part of the id, so that a log line explains itself. */
export type IdPrefix =
  | 'box'
  | 'site'
  | 'asset'
  | 'asg'
  | 'cmd'
  | 'tnt'
  | 'dlv'
  | 'roll'
  | 'xfr'
  | 'disk'
  | 'agent';

/** A new id: the prefix, a hyphen and 80 random bits as 16 characters of Crockford's base 32, lower case. */
export function newId(prefix: IdPrefix): string {
  const bytes = randomBytes(16);
  let text = '';
  for (const byte of bytes) text += ALPHABET[byte & 31];
  return `${prefix}-${text}`;
}

const idOf = (prefix: IdPrefix) =>
  z.string().regex(new RegExp(`^${prefix}-[0-9a-hjkmnp-tv-z]{16}$`), `must be a ${prefix} id`);

export const boxIdSchema = idOf('box');
export const siteIdSchema = idOf('site');
export const assetIdSchema = idOf('asset');
export const assignmentIdSchema = idOf('asg');
export const commandIdSchema = idOf('cmd');
export const tenantIdSchema = idOf('tnt');
export const deliveryBatchIdSchema = idOf('dlv');
export const rolloutIdSchema = idOf('roll');
export const transferIdSchema = idOf('xfr');

/** A new one-time claim code: 12 characters in groups of four, 60 random bits, no letters that look alike. */
export function newClaimCode(): string {
  let text = '';
  for (const byte of randomBytes(12)) text += ALPHABET[byte & 31];
  return `${text.slice(0, 4)}-${text.slice(4, 8)}-${text.slice(8)}`.toUpperCase();
}

/** A claim code as a person types it: case, spaces and hyphens do not matter; O is 0, I and L are 1. */
export const claimCodeSchema = z
  .string()
  .max(40)
  .transform((typed) =>
    typed
      .toUpperCase()
      .replace(/[\s-]/g, '')
      .replace(/O/g, '0')
      .replace(/[IL]/g, '1')
      .replace(/^(.{4})(.{4})(.{4})$/, '$1-$2-$3'),
  )
  .pipe(
    z
      .string()
      .regex(
        /^[0-9A-HJKMNP-TV-Z]{4}-[0-9A-HJKMNP-TV-Z]{4}-[0-9A-HJKMNP-TV-Z]{4}$/,
        'a claim code has 12 letters and digits, such as 7K3M-9Q2X-5D1W',
      ),
  );

/** A new key to a dashboard from away: 25 characters in groups of five, 125 random bits, no letters that look alike. */
export function newAwayKey(): string {
  let text = '';
  for (const byte of randomBytes(25)) text += ALPHABET[byte & 31];
  return (text.match(/.{5}/g) ?? []).join('-').toUpperCase();
}

/** The SHA-256 of such a key as a person types it, in hex: case, spaces and hyphens do not matter. */
export function awayKeyHash(typed: string): string {
  const plain = typed.toUpperCase().replace(/[\s-]/g, '').replace(/O/g, '0').replace(/[IL]/g, '1');
  return createHash('sha256').update(`hearth away ${plain}`).digest('hex');
}

/** 128 random bits in hex, for spot checks and dial-backs. */
export function newNonce(): string {
  return randomBytes(16).toString('hex');
}
