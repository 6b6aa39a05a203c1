import { generateKeyPairSync, webcrypto } from 'node:crypto';

type X509 = typeof import('@peculiar/x509');

/**
 * A new ECDSA P-256 key and a certificate request (PKCS#10) signed by it. The certificate library is loaded here
 * and nowhere else: a box needs it a few times in its life, and its memory always.
 * @param serverName a name the certificate is to be for, where it is a server's
 * @returns both as PEM
 */
export async function makeKeyAndCsr(serverName?: string): Promise<{ privateKey: string; csr: string }> {
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
    // A server's name stands in the extension alone: it may be longer than a common name can.
    ...(serverName === undefined
      ? { name: 'CN=hearth-box' }
      : {
          extensions: [new x509.SubjectAlternativeNameExtension([{ type: 'dns', value: serverName }])],
        }),
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
