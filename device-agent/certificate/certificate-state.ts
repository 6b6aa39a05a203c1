import type { CertificateProblem, CertificateState } from '#protocol/reach.ts';
import type { ServedCertificate } from './box-certificate.ts';

export interface CertificateFacts {
  /** The box's own name; null: the fleet has given it none. */
  serverName: string | null;
  current: Pick<ServedCertificate, 'serverName' | 'expiresAt'> | null;
  /** What the fleet said of its trouble with the CA. */
  problem: CertificateProblem | null;
  /** The best known time, ms since 1970. */
  nowMs: number;
}

/** How the certificate stands, for the household and the operator. Pure. */
export function certificateState(facts: CertificateFacts): CertificateState | null {
  const { serverName, problem, nowMs } = facts;
  if (serverName === null) return null;
  const current = facts.current?.serverName === serverName ? facts.current : null;
  if (!current) return { serverName, state: 'waiting', expiresAt: null, problem };
  const expired = Date.parse(current.expiresAt) <= nowMs;
  return { serverName, state: expired ? 'expired' : 'valid', expiresAt: current.expiresAt, problem };
}
