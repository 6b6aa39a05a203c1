import type { LookupAddress, LookupOptions } from 'node:dns';
import dns from 'node:dns';
import { hostOf, kindOf, namesLocalMachine } from '#protocol/addresses.ts';
import { OriginError } from './origin-error.ts';

type LookupCallback = (
  error: NodeJS.ErrnoException | null,
  address: string | LookupAddress[],
  family?: number,
) => void;

/** The resolver; tests put their own in its place. */
export type Resolve = (
  hostname: string,
  options: LookupOptions & { all: true },
  callback: (error: NodeJS.ErrnoException | null, addresses: LookupAddress[]) => void,
) => void;

/**
 * Whoever runs an origin must not use the box to reach the household's router, printer or the box itself (SSRF). A
 * machine of a local network that the fleet itself has named (a demo, an origin in the house) may be asked; a public
 * name that leads there may not.
 * @throws OriginError when the URL names such a machine
 */
export function refuseLocalMachine(url: string): void {
  if (namesLocalMachine(url)) throw leadsInside(hostOf(url));
}

/**
 * A DNS lookup for connections that may only leave the household: answers are checked where the connection is
 * made, so that a name cannot be looked up once to be checked and another time to be used.
 */
export function publicLookup(resolve: Resolve = dns.lookup) {
  return (hostname: string, options: LookupOptions, callback: LookupCallback): void => {
    resolve(hostname, { ...options, all: true }, (error, addresses) => {
      if (error) return callback(error, []);
      const outside = addresses.filter(({ address }) => kindOf(address) === 'public');
      const [first] = outside;
      if (!first) return callback(leadsInside(hostname), []);
      if (options.all) callback(null, outside);
      else callback(null, first.address, first.family);
    });
  };
}

function leadsInside(host: string): OriginError {
  return new OriginError(
    'origin_unreachable',
    `${host.slice(0, 100)} leads into a local network: a public origin must not send a box there`,
    { lasting: true },
  );
}
