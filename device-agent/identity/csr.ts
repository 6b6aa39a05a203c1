import { generateKeyPairSync, webcrypto } from 'node:crypto';

type X509 = typeof import('@peculiar/x509');

/**
 * A new ECDSA P-256 key and a certificate request (PKCS#10) signed by it. The certificate library is loaded here
 * and nowhere else: a box needs it once in its life, and its memory always.
 * @returns both as PEM
 */
export async function makeKeyAndCsr(): Promise<{ privateKey: string; csr: string }> {
  const pair = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const algorithm = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' };
  const pkcs8 = pair.privateKey.export({ type: 'pkcs8', format: 'der' });
  const spki = pair.publicKey.export({ type: 'spki', format: 'der' });
  // The library's dependency injection wants this first.
  await import('reflect-metadata');
  const module: X509 & { default?: X509 } = await import('@peculiar/x509');
  // Node names what a CommonJS library exports; in the bundle there is only the default.
  const x509 = module.default ?? module;
  x509.cryptoProvider.set(webcrypto as Crypto);
  const request = await x509.Pkcs10CertificateRequestGenerator.create({
    name: 'CN=hearth-box',
    signingAlgorithm: algorithm,
    keys: {
      privateKey: await webcrypto.subtle.importKey('pkcs8', pkcs8, algorithm, false, ['sign']),
      publicKey: await webcrypto.subtle.importKey('spki', spki, algorithm, true, ['verify']),
    },
  });
  return {
    privateKey: pair.privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(),
    csr: request.toString('pem'),
  };
}
