import type { IncomingHttpHeaders } from 'node:http';
import { isIP } from 'node:net';
import { HearthError } from '#protocol/errors.ts';

/**
 * Refuses a Host that a page of somebody else's could have pointed here by DNS rebinding: only addresses and
 * names that live on the LAN are taken.
 * @param ownName this machine's name
 * @throws HearthError `forbidden`
 */
export function checkHost(host: string | undefined, ownName: string): void {
  const name = hostnameOf(host);
  const own = ownName.toLowerCase();
  const taken =
    name !== null &&
    (isIP(name) !== 0 ||
      name === 'localhost' ||
      name === own ||
      ['.localhost', '.local', '.lan'].some((end) => name.endsWith(end) && name.length > end.length));
  if (!taken) {
    throw new HearthError('forbidden', 'Open this page by the address of the box, or as http://hearth.lan.');
  }
}

/**
 * Refuses a state-changing request that another site's page may have sent: a form cannot add the header, and a
 * script of another origin may not.
 * @throws HearthError `forbidden`
 */
export function checkSameOrigin(headers: IncomingHttpHeaders): void {
  if (headers['x-hearth-csrf'] !== '1') {
    throw new HearthError('forbidden', 'Requests that change something need the header x-hearth-csrf: 1.');
  }
  const { origin, host } = headers;
  if (origin === undefined) return;
  if (!URL.canParse(origin) || new URL(origin).host !== host?.toLowerCase()) {
    throw new HearthError('forbidden', 'The request comes from another site.');
  }
}

/** The cookie of that name, or null. */
export function cookieOf(headers: IncomingHttpHeaders, name: string): string | null {
  for (const pair of (headers.cookie ?? '').split(';')) {
    const [key, value] = pair.trim().split('=', 2);
    if (key === name && value !== undefined && /^[\w-]{1,128}$/.test(value)) return value;
  }
  return null;
}

function hostnameOf(host: string | undefined): string | null {
  const match = /^(\[[0-9a-f:.]+\]|[a-z0-9._-]+)(?::\d{1,5})?$/i.exec(host ?? '');
  return match?.[1] ? match[1].replace(/^\[|\]$/g, '').toLowerCase() : null;
}
