import { createPrivateKey, createPublicKey, X509Certificate } from 'node:crypto';
import { AGENT_VERSION } from '#agent/version.ts';
import type { ErrorCode } from '#protocol/errors.ts';
import { ERROR_CODES, HearthError, messageOf } from '#protocol/errors.ts';
import type { EnrolResponse } from '#protocol/http-fleet.ts';
import { enrolResponseSchema } from '#protocol/http-fleet.ts';
import { makeKeyAndCsr } from './csr.ts';
import type { Identity, PendingEnrolment, StateDirectory } from './identity.ts';
import { postJson } from './post-json.ts';

/**
 * Refuses a fleet URL on which a claim code could be overheard and the fleet be played by someone else.
 * @throws HearthError `insecure_fleet_url`, `bad_request`
 */
export function checkFleetUrl(fleetUrl: string): void {
  if (!URL.canParse(fleetUrl)) throw new HearthError('bad_request', 'The fleet address is not a URL.');
  const { protocol, hostname } = new URL(fleetUrl);
  if (protocol === 'https:') return;
  const loopback = hostname === 'localhost' || hostname === '[::1]' || /^127(\.\d{1,3}){3}$/.test(hostname);
  if (protocol === 'http:' && loopback) return;
  throw new HearthError(
    'insecure_fleet_url',
    `The fleet address must begin with https:// (plain http is only taken for this very machine): ${fleetUrl}`,
  );
}

/**
 * Pairs this box: makes its key, asks the fleet for a certificate and writes the identity. Killed at any moment
 * the box is unpaired or paired; what was begun is asked for again with the same key, which the fleet answers
 * with the same box.
 * @throws HearthError `insecure_fleet_url`, `claim_invalid`, `csr_invalid`, `rate_limited`, `unavailable`
 */
export async function enrol(
  state: StateDirectory,
  fleetUrl: string,
  claimCode: string,
  stamp: () => string,
  signal: AbortSignal,
): Promise<Identity> {
  checkFleetUrl(fleetUrl);
  const pending = await begin(state, fleetUrl, claimCode);
  const answer = await postJson(
    `${fleetUrl}/api/v1/enrol`,
    { claimCode, csr: pending.csr, agentVersion: AGENT_VERSION },
    { signal },
  );
  if (answer.status !== 200 && answer.status !== 201) {
    const refusal = refusalOf(answer);
    // The fleet has said no for good; anything else is worth another try with the same key.
    if (refusal.code === 'claim_invalid' || refusal.code === 'csr_invalid') await state.removePending();
    throw refusal;
  }
  const response = enrolResponseSchema.safeParse(answer.body);
  if (!response.success)
    throw new HearthError('unavailable', 'The fleet answered something this box does not understand.');
  checkResponse(response.data, pending.privateKey);
  const identity: Identity = {
    v: 1,
    ...response.data,
    fleetUrl,
    privateKey: pending.privateKey,
    pairedAt: stamp(),
  };
  await state.writeIdentity(identity);
  await state.removePending();
  return identity;
}

async function begin(state: StateDirectory, fleetUrl: string, claimCode: string): Promise<PendingEnrolment> {
  const begun = await state.readPending();
  if (begun && begun.fleetUrl === fleetUrl && begun.claimCode === claimCode) return begun;
  const pending: PendingEnrolment = { v: 1, fleetUrl, claimCode, ...(await makeKeyAndCsr()) };
  await state.writePending(pending);
  return pending;
}

function refusalOf({ status, body }: { status: number; body: unknown }): HearthError {
  const error = (body as { error?: { code?: unknown; message?: unknown } } | null)?.error;
  const code = error?.code;
  if (typeof code === 'string' && code in ERROR_CODES && typeof error?.message === 'string') {
    return new HearthError(code as ErrorCode, error.message.slice(0, 300));
  }
  return new HearthError('unavailable', `The fleet answered with status ${status}.`);
}

/** A certificate for another key, or from another CA, would leave the box half paired: it is not taken. */
function checkResponse(response: EnrolResponse, privateKey: string): void {
  try {
    const certificate = new X509Certificate(response.certificate);
    const ca = new X509Certificate(response.caCertificate);
    if (!certificate.checkPrivateKey(createPrivateKey(privateKey))) throw new Error('it is for another key');
    if (!certificate.verify(ca.publicKey) || !certificate.checkIssued(ca))
      throw new Error('another CA signed it');
    if (certificate.subject !== `CN=${response.boxId}`) throw new Error('it is for another box');
    if (createPublicKey(response.commandKey).asymmetricKeyType !== 'ed25519') {
      throw new Error('the command key is not Ed25519');
    }
    if (new URL(response.brokerUrl).protocol !== 'mqtts:')
      throw new Error('the broker is not reached by mqtts://');
  } catch (cause) {
    throw new HearthError('unavailable', `The fleet's certificate cannot be used: ${messageOf(cause)}.`, {
      cause,
    });
  }
}
