import {
  createPrivateKey,
  createPublicKey,
  generateKeyPairSync,
  type KeyObject,
  randomBytes,
} from 'node:crypto';
import { link, mkdir, open, readFile, rm } from 'node:fs/promises';
import path from 'node:path';
import { sealKeyFor } from '#protocol/delivery-token.ts';
import { type CertificateAuthority, createCa, openCa } from './certificate-authority.ts';

/**
 * The fleet's secrets: files, never rows, so that a leaked database lets nobody in. Every process of one fleet
 * is given the same directory.
 */
export interface FleetKeys {
  ca: CertificateAuthority;
  /** Ed25519; signs commands to boxes. */
  commandPrivateKey: KeyObject;
  commandPublicKeyPem: string;
  /** 32 bytes; each box's delivery key is derived from it. */
  deliverySecret: Buffer;
  /** 32 bytes; seals delivery tokens. */
  sealKey: Buffer;
}

/** Reads the keys in `dir`, making those that are missing. Processes that start together end with the same ones. */
export async function openFleetKeys(dir: string): Promise<FleetKeys> {
  await mkdir(dir, { recursive: true, mode: 0o700 });
  const caPem = await readOrMake(path.join(dir, 'ca.pem'), createCa);
  const commandPem = await readOrMake(path.join(dir, 'command-key.pem'), async () =>
    generateKeyPairSync('ed25519').privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(),
  );
  const secretText = await readOrMake(path.join(dir, 'delivery-secret'), async () =>
    randomBytes(32).toString('hex'),
  );
  const deliverySecret = Buffer.from(secretText.trim(), 'hex');
  if (deliverySecret.length !== 32)
    throw new Error(`${path.join(dir, 'delivery-secret')} must hold 64 hex digits`);
  const commandPrivateKey = createPrivateKey(commandPem);
  return {
    ca: openCa(caPem),
    commandPrivateKey,
    commandPublicKeyPem: createPublicKey(commandPrivateKey)
      .export({ type: 'spki', format: 'pem' })
      .toString(),
    deliverySecret,
    sealKey: sealKeyFor(deliverySecret),
  };
}

/** The key that is the fleet's account at the CA (RFC 8555), made when there is none. */
export function openAcmeAccountKey(dir: string): Promise<string> {
  return readOrMake(path.join(dir, 'acme-account.pem'), async () =>
    generateKeyPairSync('ec', { namedCurve: 'P-256' })
      .privateKey.export({ type: 'pkcs8', format: 'pem' })
      .toString(),
  );
}

/** Linking a whole file into place is atomic and never replaces: of several makers, one wins and all read it. */
async function readOrMake(file: string, make: () => Promise<string>): Promise<string> {
  const found = await readFile(file, 'utf8').catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return null;
    throw error;
  });
  if (found !== null) return found;
  const temporary = `${file}.${process.pid}.${randomBytes(4).toString('hex')}`;
  const handle = await open(temporary, 'wx', 0o600);
  try {
    await handle.writeFile(await make());
    await handle.sync();
  } finally {
    await handle.close();
  }
  await link(temporary, file).catch((error: NodeJS.ErrnoException) => {
    if (error.code !== 'EEXIST') throw error;
  });
  await rm(temporary);
  const directory = await open(path.dirname(file), 'r');
  await directory.sync().finally(() => directory.close());
  return readFile(file, 'utf8');
}
