import {
  createHash,
  createPrivateKey,
  createPublicKey,
  generateKeyPairSync,
  randomBytes,
  sign,
} from 'node:crypto';
import { HearthError } from '#protocol/errors.ts';

/** usign's and signify's formats: a comment line, then base64 of `Ed`, an 8 byte key id, and key or signature. */
const ALGORITHM = Buffer.from('Ed');
/** DER around a raw Ed25519 seed (RFC 8410). */
const PKCS8 = Buffer.from('302e020100300506032b657004220420', 'hex');

export interface SigningKey {
  id: Buffer;
  seed: Buffer;
  publicKey: Buffer;
}

/** @throws HearthError `bad_request` when it is not a secret key without a password */
export function readSigningKey(text: string): SigningKey {
  const bytes = payloadOf(text);
  // Ed, BK, rounds (4), salt (16), checksum (8), id (8), seed and public key (64).
  const isKey = bytes.length === 104 && bytes.subarray(0, 4).toString('latin1') === 'EdBK';
  if (!isKey || bytes.readUInt32BE(4) !== 0) {
    throw new HearthError(
      'bad_request',
      'this is not a secret key of usign or signify without a password: usign -G -s FILE -p FILE.pub makes one',
    );
  }
  const [id, seed, publicKey] = [bytes.subarray(32, 40), bytes.subarray(40, 72), bytes.subarray(72)];
  return { id, seed, publicKey };
}

/** A new key: the text of the secret one, and of the public one that boxes trust. */
export function newSigningKey(): { secret: string; public: string } {
  const { privateKey } = generateKeyPairSync('ed25519');
  const seed = privateKey.export({ format: 'der', type: 'pkcs8' }).subarray(-32);
  const publicKey = publicOf(seed);
  const id = randomBytes(8);
  const pair = Buffer.concat([seed, publicKey]);
  const checksum = createHash('sha512').update(pair).digest().subarray(0, 8);
  const secret = Buffer.concat([Buffer.from('EdBK'), Buffer.alloc(4), randomBytes(16), checksum, id, pair]);
  return {
    secret: text('Hearth secret key', secret),
    public: text('Hearth public key', Buffer.concat([ALGORITHM, id, publicKey])),
  };
}

/** What usign calls the file of a public key in /etc/opkg/keys. */
export function fingerprint(key: SigningKey): string {
  return key.id.toString('hex');
}

/** The signature of a file, as `usign -S` and `signify -S` write it. */
export function signText(key: SigningKey, data: Buffer): string {
  const privateKey = createPrivateKey({
    key: Buffer.concat([PKCS8, key.seed]),
    format: 'der',
    type: 'pkcs8',
  });
  const signature = sign(null, data, privateKey);
  return text(`signed by key ${fingerprint(key)}`, Buffer.concat([ALGORITHM, key.id, signature]));
}

function publicOf(seed: Buffer): Buffer {
  const key = createPrivateKey({ key: Buffer.concat([PKCS8, seed]), format: 'der', type: 'pkcs8' });
  return createPublicKey(key).export({ format: 'der', type: 'spki' }).subarray(-32);
}

function payloadOf(content: string): Buffer {
  const [comment = '', body = ''] = content.split('\n');
  return comment.startsWith('untrusted comment:') ? Buffer.from(body, 'base64') : Buffer.alloc(0);
}

function text(comment: string, bytes: Buffer): string {
  return `untrusted comment: ${comment}\n${bytes.toString('base64')}\n`;
}
