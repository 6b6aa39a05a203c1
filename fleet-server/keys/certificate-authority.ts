// tsyringe, which x509 is built with, wants this first.
import 'reflect-metadata';
import { createHash, randomBytes, webcrypto } from 'node:crypto';
import { isIP } from 'node:net';
import * as x509 from '@peculiar/x509';
import { HearthError } from '#protocol/errors.ts';

const ALGORITHM = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' } as const;
const DAY_MS = 86_400_000;
/** Boxes have no clock: a certificate that is valid from well before now spares most of them a wait. */
const BACKDATE_MS = 2 * DAY_MS;
const CA_LIFE_MS = 20 * 365 * DAY_MS;
const BOX_LIFE_MS = 5 * 365 * DAY_MS;
const SERVER_LIFE_MS = 90 * DAY_MS;
const SUBJECT = 'CN=Hearth fleet CA';

x509.cryptoProvider.set(webcrypto as Crypto);

export interface CertificateAuthority {
  certificatePem: string;
  /**
   * Signs a box's request; the subject becomes `CN=<boxId>`, whatever the request says.
   * @throws HearthError `csr_invalid`
   */
  signBox(csrPem: string, boxId: string): Promise<{ certificatePem: string; keyFingerprint: Buffer }>;
  /** A key and certificate for one of the fleet's own servers, for these DNS names and addresses. */
  issueServer(names: string[]): Promise<{ keyPem: string; certificatePem: string; expiresAtMs: number }>;
}

/** Makes a CA: its private key and self-signed certificate, as one PEM text. */
export async function createCa(): Promise<string> {
  const keys = await webcrypto.subtle.generateKey(ALGORITHM, true, ['sign', 'verify']);
  const now = Date.now();
  const certificate = await x509.X509CertificateGenerator.createSelfSigned({
    serialNumber: serial(),
    name: SUBJECT,
    notBefore: new Date(now - BACKDATE_MS),
    notAfter: new Date(now + CA_LIFE_MS),
    signingAlgorithm: ALGORITHM,
    keys,
    extensions: [
      new x509.BasicConstraintsExtension(true, 0, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.keyCertSign | x509.KeyUsageFlags.cRLSign, true),
      await x509.SubjectKeyIdentifierExtension.create(keys.publicKey),
    ],
  });
  return `${await privateKeyPem(keys.privateKey)}\n${certificate.toString('pem')}\n`;
}

/** Opens what `createCa` made. */
export function openCa(pem: string): CertificateAuthority {
  const [key, certificate] = ['PRIVATE KEY', 'CERTIFICATE'].map(
    (label) => new RegExp(`-----BEGIN ${label}-----[^-]+-----END ${label}-----`).exec(pem)?.[0],
  );
  if (!key || !certificate) throw new Error('the CA file must hold a PRIVATE KEY and a CERTIFICATE');
  const caCertificate = new x509.X509Certificate(certificate);
  const der = Buffer.from(key.replace(/-----[^-]+-----|\s/g, ''), 'base64');
  const signingKey = webcrypto.subtle.importKey('pkcs8', der, ALGORITHM, false, ['sign']);

  const issue = async (
    subject: string,
    publicKey: x509.PublicKeyType,
    lifeMs: number,
    extensions: x509.Extension[],
  ): Promise<x509.X509Certificate> => {
    const now = Date.now();
    return x509.X509CertificateGenerator.create({
      serialNumber: serial(),
      subject,
      issuer: caCertificate.subject,
      notBefore: new Date(now - BACKDATE_MS),
      notAfter: new Date(now + lifeMs),
      signingAlgorithm: ALGORITHM,
      publicKey,
      signingKey: await signingKey,
      extensions: [
        new x509.BasicConstraintsExtension(false, undefined, true),
        new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature, true),
        await x509.AuthorityKeyIdentifierExtension.create(caCertificate),
        ...extensions,
      ],
    });
  };

  return {
    certificatePem: `${certificate}\n`,
    async signBox(csrPem, boxId) {
      const publicKey = await openCsr(csrPem);
      const signed = await issue(`CN=${boxId}`, publicKey, BOX_LIFE_MS, [
        new x509.ExtendedKeyUsageExtension([x509.ExtendedKeyUsage.clientAuth]),
      ]);
      return {
        certificatePem: `${signed.toString('pem')}\n`,
        keyFingerprint: fingerprintOf(publicKey.rawData),
      };
    },
    async issueServer(names) {
      const keys = await webcrypto.subtle.generateKey(ALGORITHM, true, ['sign', 'verify']);
      const alternatives = names.map((value) => ({
        type: isIP(value) ? ('ip' as const) : ('dns' as const),
        value,
      }));
      const signed = await issue('CN=Hearth fleet', keys.publicKey, SERVER_LIFE_MS, [
        new x509.ExtendedKeyUsageExtension([x509.ExtendedKeyUsage.serverAuth]),
        new x509.SubjectAlternativeNameExtension(alternatives),
      ]);
      return {
        keyPem: await privateKeyPem(keys.privateKey),
        certificatePem: `${signed.toString('pem')}\n`,
        expiresAtMs: signed.notAfter.getTime(),
      };
    },
  };
}

/** SHA-256 of a public key (SubjectPublicKeyInfo, DER): what tells a box's key from another. */
export function fingerprintOf(spki: ArrayBuffer | Uint8Array): Buffer {
  return createHash('sha256').update(new Uint8Array(spki)).digest();
}

async function openCsr(pem: string): Promise<x509.PublicKey> {
  let request: x509.Pkcs10CertificateRequest;
  try {
    request = new x509.Pkcs10CertificateRequest(pem);
  } catch (cause) {
    throw new HearthError('csr_invalid', 'the certificate request is not PKCS#10 in PEM', { cause });
  }
  const algorithm = request.publicKey.algorithm as { name?: string; namedCurve?: string };
  if (algorithm.name !== 'ECDSA' || algorithm.namedCurve !== 'P-256') {
    throw new HearthError('csr_invalid', 'the certificate request must be for an ECDSA P-256 key');
  }
  if (!(await request.verify().catch(() => false))) {
    throw new HearthError('csr_invalid', 'the certificate request is not signed by its own key');
  }
  return request.publicKey;
}

async function privateKeyPem(key: webcrypto.CryptoKey): Promise<string> {
  const der = Buffer.from(await webcrypto.subtle.exportKey('pkcs8', key)).toString('base64');
  return `-----BEGIN PRIVATE KEY-----\n${der.replace(/.{64}/g, '$&\n')}\n-----END PRIVATE KEY-----`;
}

/** 127 random bits, positive (RFC 5280 section 4.1.2.2). */
function serial(): string {
  const bytes = randomBytes(16);
  bytes[0] = ((bytes[0] ?? 0) & 0x7f) | 0x40;
  return bytes.toString('hex');
}
