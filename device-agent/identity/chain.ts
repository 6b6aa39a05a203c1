import type { X509Certificate } from 'node:crypto';
import { isIP } from 'node:net';
import { loadX509 } from './x509.ts';

const SERVER_AUTH = '1.3.6.1.5.5.7.3.1';
const ANY_USE = '2.5.29.37.0';
const NAME_CONSTRAINTS = '2.5.29.30';
/** Critical extensions that are understood here: key usage, names, basic constraints, extended key usage. */
const UNDERSTOOD = new Set(['2.5.29.15', '2.5.29.17', '2.5.29.19', '2.5.29.37']);
const HASHES = new Set(['SHA-256', 'SHA-384', 'SHA-512']);
const LEAST_RSA_BITS = 2048;
const MOST_INTERMEDIATES = 4;

/**
 * Whether a server's certificate is to be trusted at a given moment: what TLS does by itself where the clock is right,
 * for a box whose clock is not. Stricter than RFC 5280 section 6.1 and never laxer: what is not understood is refused,
 * name constraints and critical policies included. Signatures and names are OpenSSL's own work.
 * @param chain as the server shows it, its own first
 * @param host its name or address
 * @param atMs the moment, ms since 1970
 * @param roots who is trusted
 * @throws Error with the reason
 */
export async function verifyChainAt(
  chain: readonly X509Certificate[],
  host: string,
  atMs: number,
  roots: readonly X509Certificate[],
): Promise<void> {
  const [leaf] = chain;
  if (!leaf) throw new Error('it shows no certificate');
  if (leaf.ca) throw new Error('it shows a CA certificate');
  const named = isIP(host) ? leaf.checkIP(host) : leaf.checkHost(host, { subject: 'never' });
  if (named === undefined) throw new Error(`its certificate is not for ${host}`);
  if (!usesOf(leaf)?.includes(SERVER_AUTH)) throw new Error("its certificate is not a server's");
  await check(leaf, atMs, null);
  let child = leaf;
  for (let between = 0; between <= MOST_INTERMEDIATES; between++) {
    const root = roots.find((one) => isIssued(child, one));
    if (root) {
      await check(root, atMs, between);
      return;
    }
    const parent = chain.find((one) => one !== child && isIssued(child, one));
    if (!parent) throw new Error('nobody this box trusts has signed it');
    await check(parent, atMs, between);
    await checkStrength(parent);
    child = parent;
  }
  throw new Error('the chain is too long');
}

function isIssued(child: X509Certificate, parent: X509Certificate): boolean {
  return child.checkIssued(parent) && child.verify(parent.publicKey);
}

/** Node calls the extended key usages so; null: for everything. */
function usesOf({ keyUsage }: X509Certificate): string[] | null {
  return (keyUsage as string[] | undefined) ?? null;
}

/** @param below how many CAs stand between it and the server; null: it is the server's own */
async function check(certificate: X509Certificate, atMs: number, below: number | null): Promise<void> {
  if (!(Date.parse(certificate.validFrom) <= atMs)) throw new Error('a certificate is not valid yet');
  if (!(Date.parse(certificate.validTo) >= atMs)) throw new Error('a certificate has expired');
  const x509 = await loadX509();
  const parsed = new x509.X509Certificate(certificate.raw);
  const seen = new Set<string>();
  for (const { type, critical } of parsed.extensions) {
    if (seen.has(type)) throw new Error('a certificate has an extension twice');
    seen.add(type);
    if (type === NAME_CONSTRAINTS || (critical && !UNDERSTOOD.has(type))) {
      throw new Error(`a certificate has a condition this box cannot check (${type})`);
    }
  }
  if (below === null) {
    await checkStrength(certificate);
    return;
  }
  if (!certificate.ca) throw new Error('a certificate was signed by one that is no CA');
  const uses = usesOf(certificate);
  if (uses && !uses.includes(SERVER_AUTH) && !uses.includes(ANY_USE)) {
    throw new Error('a CA in the chain may not sign for servers');
  }
  const longest = parsed.getExtension(x509.BasicConstraintsExtension)?.pathLength;
  if (longest !== undefined && below > longest) throw new Error('the chain is longer than its CA allows');
}

/** A root's own signature counts for nothing, so it is not looked at. */
async function checkStrength(certificate: X509Certificate): Promise<void> {
  const x509 = await loadX509();
  const { hash, name } = new x509.X509Certificate(certificate.raw).signatureAlgorithm as {
    hash?: { name: string };
    name: string;
  };
  if (!HASHES.has(hash?.name ?? '') && name !== 'Ed25519') throw new Error('a certificate is signed weakly');
  const { asymmetricKeyType, asymmetricKeyDetails } = certificate.publicKey;
  if (asymmetricKeyType === 'rsa' && (asymmetricKeyDetails?.modulusLength ?? 0) < LEAST_RSA_BITS) {
    throw new Error('a certificate has a weak key');
  }
}
