import { boxIdSchema } from './ids.ts';

/**
 * How a box that nobody can reach is reached all the same: it dials a relay over TLS with its own certificate, and
 * serves HTTP/2 (RFC 9113) on that connection, the relay being the HTTP/2 client. A request is forwarded as it is; a
 * client's TLS connection goes through as a CONNECT stream (RFC 9113 section 8.5), which the relay cannot read.
 */

/** Agreed on in the TLS handshake (ALPN), so that another transport can come later. */
export const RELAY_ALPN = 'hearth-relay/1';

/** Who the client is, on a request and on a CONNECT stream: the relay's word, so only heard on a tunnel. */
export const CLIENT_ADDRESS_HEADER = 'hearth-client';

/**
 * On a CONNECT stream: it is for the box's dashboard, for its owner away from home. The value is the host the browser
 * asked for (RFC 9110 section 7.2). What is carried is HTTP/1.1, and the browser's TLS ends at the relay.
 */
export const DASHBOARD_HEADER = 'hearth-dashboard';

/** The box's page and API at a relay. */
const DASHBOARD_PREFIX = '/my/';

/** Where the dashboard of a box is at a relay that carries it. */
export function dashboardUrl(base: string, boxId: string): string {
  return `${base.replace(/\/+$/, '')}${DASHBOARD_PREFIX}${boxId}/`;
}

/**
 * Takes the target of a request for a dashboard apart.
 * @returns the box and what is asked of it; null when it is no such target
 */
export function dashboardTarget(target: string): { boxId: string; path: string } | null {
  if (!target.startsWith(DASHBOARD_PREFIX)) return null;
  const [boxId = '', ...rest] = target.slice(DASHBOARD_PREFIX.length).split(/(?=[/?])/);
  return boxIdSchema.safeParse(boxId).success ? { boxId, path: rest.join('') } : null;
}

const PREFIX = '/b/';

/** Where a box is served by a relay that ends the client's TLS itself: its content URL there. */
export function relayedContentUrl(relayUrl: string, boxId: string): string {
  return `${relayUrl.replace(/\/+$/, '')}${PREFIX}${boxId}`;
}

/**
 * Takes a request's target on a relay apart.
 * @returns the box and what it is to be asked, or null when it is no such target
 */
export function relayedTarget(target: string): { boxId: string; path: string } | null {
  if (!target.startsWith(PREFIX)) return null;
  const end = target.indexOf('/', PREFIX.length);
  if (end < 0) return null;
  const boxId = target.slice(PREFIX.length, end);
  return boxIdSchema.safeParse(boxId).success ? { boxId, path: target.slice(end) } : null;
}
