import type { IncomingHttpHeaders } from 'node:http';
import { BlockList, isIP, isIPv4 } from 'node:net';
import { isLanName, kindOf, plainAddress } from '#protocol/addresses.ts';
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
  const taken = name !== null && (isIP(name) !== 0 || name === own || isLanName(name));
  if (!taken) {
    throw new HearthError('forbidden', 'Open this page by the address of the box, or as http://hearth.lan.');
  }
}

/**
 * Refuses a Host that is not the one the relay was asked by, whose certificate the browser has seen.
 * @throws HearthError `forbidden`
 */
export function checkAwayHost(host: string | undefined, asked: string): void {
  if (host === undefined || host.toLowerCase() !== asked.toLowerCase()) {
    throw new HearthError('forbidden', 'Open this page by the address that the box shows at home.');
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

/**
 * Refuses the first run to who is not in the home: nobody has a password yet, and whoever comes first sets it.
 * @param interfaces this machine's, as `os.networkInterfaces()` has them
 * @throws HearthError `forbidden`
 */
export function checkNeighbour(
  address: string | undefined,
  interfaces: NodeJS.Dict<{ cidr: string | null }[]>,
): void {
  const plain = plainAddress(address ?? '');
  if (plain !== null) {
    if (['loopback', 'private', 'link_local'].includes(kindOf(plain) ?? '')) return;
    const ours = new BlockList();
    for (const { cidr } of Object.values(interfaces).flatMap((list) => list ?? [])) {
      const [network = '', prefix] = cidr?.split('/') ?? [];
      if (isIP(network) !== 0) ours.addSubnet(network, Number(prefix), isIPv4(network) ? 'ipv4' : 'ipv6');
    }
    if (ours.check(plain, isIPv4(plain) ? 'ipv4' : 'ipv6')) return;
  }
  throw new HearthError(
    'forbidden',
    'The first password is set in the home of the box, from its own network.',
  );
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
