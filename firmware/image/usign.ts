import { createHash, createPrivateKey, createPublicKey, sign, verify } from 'node:crypto';
import { HearthError } from '#protocol/errors.ts';

/**
 * OpenWrt's signatures (usign, the same as OpenBSD's signify): a comment line, then in base64 `Ed`, eight bytes that
 * name the key, and the Ed25519 key or signature.
 */
const PUBLIC_BYTES = 42;
const SIGNATURE_BYTES = 74;
/** `Ed`, `BK`, rounds, salt, checksum, name, and the key with its public half (no passphrase: rounds are 0). */
const SECRET_BYTES = 104;
const SPKI = Buffer.from('302a300506032b6570032100', 'hex');
const PKCS8 = Buffer.from('302e020100300506032b657004220420', 'hex');

function body(text: string, sizeBytes: number, what: string): Buffer {
  const [comment = '', line = ''] = text.split('\n');
  const bytes = Buffer.from(line.trim(), 'base64');
  if (!comment.startsWith('untrusted comment: ') || bytes.length !== sizeBytes || !isEd(bytes)) {
    throw new HearthError('bad_request', `that is no ${what} of usign`);
  }
  return bytes;
}

const isEd = (bytes: Buffer) => bytes.toString('latin1', 0, 2) === 'Ed';

/** The name of a public key, as in /etc/opkg/keys. @throws HearthError `bad_request` */
export function usignKeyId(publicKey: string): string {
  return body(publicKey, PUBLIC_BYTES, 'public key').toString('hex', 2, 10);
}

/** Whether `signature` is by `publicKey` over `message`. @throws HearthError `bad_request` when one of them is none */
export function usignVerify(message: Buffer, signature: string, publicKey: string): boolean {
  const key = body(publicKey, PUBLIC_BYTES, 'public key');
  const signed = body(signature, SIGNATURE_BYTES, 'signature');
  if (!key.subarray(2, 10).equals(signed.subarray(2, 10))) return false;
  const spki = createPublicKey({ key: Buffer.concat([SPKI, key.subarray(10)]), format: 'der', type: 'spki' });
  return verify(null, message, spki, signed.subarray(10));
}

/** Signs with a secret key that has no passphrase. @throws HearthError `bad_request` */
export function usignSign(message: Buffer, secretKey: string, comment: string): string {
  const secret = body(secretKey, SECRET_BYTES, 'secret key');
  if (secret.readUInt32BE(4) !== 0) {
    throw new HearthError('bad_request', 'the secret key has a passphrase: sign with one that has none');
  }
  const pair = secret.subarray(40);
  if (!createHash('sha512').update(pair).digest().subarray(0, 8).equals(secret.subarray(24, 32))) {
    throw new HearthError('bad_request', 'the secret key is damaged');
  }
  const pkcs8 = Buffer.concat([PKCS8, pair.subarray(0, 32)]);
  const made = sign(null, message, createPrivateKey({ key: pkcs8, format: 'der', type: 'pkcs8' }));
  const bytes = Buffer.concat([Buffer.from('Ed'), secret.subarray(32, 40), made]);
  return `untrusted comment: ${comment}\n${bytes.toString('base64')}\n`;
}
