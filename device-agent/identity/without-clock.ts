import { X509Certificate } from 'node:crypto';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import http from 'node:http';
import { isIP } from 'node:net';
import tls from 'node:tls';
import { PLAUSIBLE_MS } from '#agent/time/clock.ts';
import { messageOf } from '#protocol/errors.ts';
import { verifyChainAt } from './chain.ts';

const TIMEOUT_MS = 20_000;
/** An agent that is older than this trusts nobody's time. */
const LATEST_MS = PLAUSIBLE_MS + 20 * 365 * 86_400_000;
const MOST_CHAIN = 8;

/**
 * A TLS connection to an https server for a box whose clock is at 1970. The server is asked for the time on one
 * connection (its Date header, as htpdate and tlsdate do), on which nothing else is said and from which nothing else is
 * believed; then its certificates are verified as of that time, and once more those of the connection that is returned.
 * A lie about the time helps only who holds the key of a certificate for this very name that a trusted CA has signed and
 * that was valid at some moment since this agent was made: no clock-less client can tell that one from the right one.
 * @throws Error with the reason
 */
export async function dialWithoutClock(
  url: string,
  roots: readonly X509Certificate[],
  signal: AbortSignal,
): Promise<tls.TLSSocket> {
  const first = await dial(url, signal);
  try {
    const atMs = await timeOf(first, url, signal);
    await verify(first, url, atMs, roots);
    const second = await dial(url, signal);
    try {
      await verify(second, url, atMs, roots);
      return second;
    } catch (error) {
      second.destroy();
      throw error;
    }
  } finally {
    first.destroy();
  }
}

/** Whom Node trusts, `NODE_EXTRA_CA_CERTS` included. */
export function systemRoots(): X509Certificate[] {
  const extra = process.env.NODE_EXTRA_CA_CERTS;
  const text = extra === undefined ? '' : readFileSync(extra, 'utf8');
  const more = text.match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g) ?? [];
  return [...tls.rootCertificates, ...more].map((pem) => new X509Certificate(pem));
}

function hostOf(url: string): string {
  return new URL(url).hostname.replace(/^\[|\]$/g, '');
}

async function dial(url: string, signal: AbortSignal): Promise<tls.TLSSocket> {
  const host = hostOf(url);
  const socket = tls.connect({
    host,
    port: Number(new URL(url).port || 443),
    servername: isIP(host) ? '' : host,
    minVersion: 'TLSv1.2',
    // Verified below: TLS itself would do so with the wrong clock, and name that fault instead of any other.
    rejectUnauthorized: false,
    ALPNProtocols: ['http/1.1'],
  });
  // Stays: a fault after it was verified must not end the process.
  socket.on('error', () => undefined);
  try {
    await once(socket, 'secureConnect', {
      signal: AbortSignal.any([signal, AbortSignal.timeout(TIMEOUT_MS)]),
    });
    return socket;
  } catch (error) {
    socket.destroy();
    throw error;
  }
}

/** What the server says the time is, ms since 1970. */
function timeOf(socket: tls.TLSSocket, url: string, signal: AbortSignal): Promise<number> {
  return new Promise((resolve, reject) => {
    const request = http.request({
      createConnection: () => socket,
      method: 'HEAD',
      path: '/',
      headers: { host: new URL(url).host },
      timeout: TIMEOUT_MS,
      signal,
    });
    request.once('timeout', () => request.destroy(new Error('no answer in time')));
    request.once('error', reject);
    request.once('response', (response) => {
      response.resume();
      const saidMs = Date.parse(response.headers.date ?? '');
      if (saidMs >= PLAUSIBLE_MS && saidMs <= LATEST_MS) resolve(saidMs);
      else reject(new Error("this box's clock is not set, and the server does not tell the time"));
    });
    request.end();
  });
}

async function verify(
  socket: tls.TLSSocket,
  url: string,
  atMs: number,
  roots: readonly X509Certificate[],
): Promise<void> {
  const chain: X509Certificate[] = [];
  let shown: tls.DetailedPeerCertificate | undefined = socket.getPeerCertificate(true);
  while (shown?.raw && chain.length < MOST_CHAIN) {
    chain.push(new X509Certificate(shown.raw));
    const next: tls.DetailedPeerCertificate | undefined = shown.issuerCertificate;
    // A root's issuer is itself.
    shown = next === shown ? undefined : next;
  }
  try {
    await verifyChainAt(chain, hostOf(url), atMs, roots);
  } catch (cause) {
    throw new Error(`its certificate is not trusted: ${messageOf(cause)}`, { cause });
  }
}
