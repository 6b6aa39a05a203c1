import { X509Certificate } from 'node:crypto';
import { isIP } from 'node:net';
import tls from 'node:tls';
import { HearthError, messageOf } from '#protocol/errors.ts';

export interface DialOptions {
  /** What is there, in words: `broker`. */
  peer: string;
  host: string;
  port: number;
  /** Agreed on in the handshake (ALPN). */
  protocol: string;
  /** The only CA that is trusted, PEM. */
  caCertificate: string;
  /** This box's own, PEM. */
  certificate: string;
  privateKey: string;
  /** The local clock, ms since 1970. */
  nowMs: number;
  timeoutMs: number;
}

const SERVER_AUTH = '1.3.6.1.5.5.7.3.1';

/** Host and port of a URL, an IPv6 address without its brackets. */
export function hostAndPort(url: string, standardPort: number): { host: string; port: number } {
  const { hostname, port } = new URL(url);
  return { host: hostname.replace(/^\[|\]$/g, ''), port: Number(port) || standardPort };
}

/**
 * Connects to one of the fleet's servers by TLS with the box's certificate; trusts the fleet's CA and no other, for
 * the server's name. While the local clock is behind the box's own certificate it is certainly wrong (a box without
 * a battery wakes in 1970), and every certificate looks "not yet valid": then the chain, name and purpose are
 * verified here instead, with the beginning of our own certificate for the time.
 * @throws HearthError `unavailable`, with the reason
 */
export async function dialFleet(options: DialOptions, signal: AbortSignal): Promise<tls.TLSSocket> {
  const { host, port } = options;
  const ownStartMs = Date.parse(new X509Certificate(options.certificate).validFrom);
  const clockIsBehind = options.nowMs < ownStartMs;
  const socket = tls.connect({
    host,
    port,
    servername: isIP(host) ? '' : host,
    ca: options.caCertificate,
    cert: options.certificate,
    key: options.privateKey,
    minVersion: 'TLSv1.2',
    rejectUnauthorized: !clockIsBehind,
    // Node's own check takes no IPv6 address (22.23): it looks for it among the names.
    ...(isIP(host) && {
      checkServerIdentity: (_name: string, { raw }: tls.PeerCertificate) =>
        new X509Certificate(raw).checkIP(host) ? undefined : new Error(`its certificate is not for ${host}`),
    }),
    ALPNProtocols: [options.protocol],
  });
  try {
    await connected(socket, options.timeoutMs, signal);
    if (clockIsBehind) {
      const peer = socket.getPeerX509Certificate();
      if (!peer) throw new Error('it shows no certificate');
      verifyWithoutClock(peer, new X509Certificate(options.caCertificate), host, ownStartMs);
    }
    return socket;
  } catch (cause) {
    socket.destroy();
    throw new HearthError(
      'unavailable',
      `the fleet's ${options.peer} cannot be reached: ${messageOf(cause)}`,
      {
        cause,
      },
    );
  }
}

function connected(socket: tls.TLSSocket, timeoutMs: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error('no answer in time')), timeoutMs);
    const abort = () => reject(new Error('stopped'));
    const settle = () => {
      clearTimeout(timer);
      signal.removeEventListener('abort', abort);
    };
    if (signal.aborted) abort();
    signal.addEventListener('abort', abort, { once: true });
    socket.once('secureConnect', () => {
      settle();
      resolve();
    });
    // Stays: an error after the link has closed must not end the process.
    socket.on('error', (error) => {
      settle();
      reject(error);
    });
    socket.once('close', () => {
      settle();
      reject(new Error('the connection was closed'));
    });
  });
}

/**
 * All of RFC 5280's and RFC 9525's checks that need no clock, for a certificate the CA signed itself.
 * @param notBeforeMs a time that has certainly passed
 * @throws Error with the reason
 */
export function verifyWithoutClock(
  peer: X509Certificate,
  ca: X509Certificate,
  host: string,
  notBeforeMs: number,
): void {
  if (!ca.ca) throw new Error("the fleet's CA certificate is not a CA's");
  if (!peer.checkIssued(ca) || !peer.verify(ca.publicKey))
    throw new Error("it is not signed by the fleet's CA");
  if (peer.ca) throw new Error('it is a CA certificate');
  const named = isIP(host) ? peer.checkIP(host) : peer.checkHost(host, { subject: 'never' });
  if (named === undefined) throw new Error(`its certificate is not for ${host}`);
  // Node calls the extended key usages so.
  if (!(peer.keyUsage as string[] | undefined)?.includes(SERVER_AUTH)) {
    throw new Error("its certificate is not a server's");
  }
  if (Date.parse(peer.validTo) < notBeforeMs) throw new Error('its certificate has expired');
}
