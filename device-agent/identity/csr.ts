import { generateKeyPairSync, webcrypto } from 'node:crypto';
import { loadX509 } from './x509.ts';

/**
 * A new ECDSA P-256 key and a certificate request (PKCS#10) signed by it.
 * @param serverName a name the certificate is to be for, where it is a server's
 * @returns both as PEM
 */
export async function makeKeyAndCsr(serverName?: string): Promise<{ privateKey: string; csr: string }> {
  const pair = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const algorithm = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' };
  const pkcs8 = pair.privateKey.export({ type: 'pkcs8', format: 'der' });
  const spki = pair.publicKey.export({ type: 'spki', format: 'der' });
  const x509 = await loadX509();
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
