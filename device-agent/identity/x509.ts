import { webcrypto } from 'node:crypto';

type X509 = typeof import('@peculiar/x509');

/** The certificate library, loaded when it is needed: a few times in a box's life, and its memory would be always. */
export async function loadX509(): Promise<X509> {
  // Its dependency injection wants this first.
  await import('reflect-metadata');
  const module: X509 & { default?: X509 } = await import('@peculiar/x509');
  // Node names what a CommonJS library exports; in the bundle there is only the default.
  const x509 = module.default ?? module;
  x509.cryptoProvider.set(webcrypto as Crypto);
  return x509;
}
