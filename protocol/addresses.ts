import { BlockList, isIP, isIPv4 } from 'node:net';

/**
 * What an IP address is good for:
 * `public` can be reached from the internet as far as its number says; `private` (RFC 1918, fc00::/7), `cgnat`
 * (100.64.0.0/10, RFC 6598: the provider's own NAT) and `link_local` belong to a local network; `reserved` is anything
 * else nobody on the internet can have: multicast, documentation, benchmarking, transition mechanisms.
 */
export type AddressKind = 'public' | 'private' | 'cgnat' | 'loopback' | 'link_local' | 'reserved';

type Subnet = readonly [network: string, prefix: number];

/** IANA's special-purpose registries (RFC 6890), IPv4. */
const IPV4: readonly (readonly [AddressKind, readonly Subnet[]])[] = [
  ['loopback', [['127.0.0.0', 8]]],
  [
    'private',
    [
      ['10.0.0.0', 8],
      ['172.16.0.0', 12],
      ['192.168.0.0', 16],
    ],
  ],
  ['cgnat', [['100.64.0.0', 10]]],
  ['link_local', [['169.254.0.0', 16]]],
  [
    'reserved',
    [
      ['0.0.0.0', 8],
      ['192.0.0.0', 24],
      ['192.0.2.0', 24],
      ['192.88.99.0', 24],
      ['198.18.0.0', 15],
      ['198.51.100.0', 24],
      ['203.0.113.0', 24],
      ['224.0.0.0', 3],
    ],
  ],
];

/** The same for IPv6, where what is public is named and the rest is not. */
const IPV6: readonly (readonly [AddressKind, readonly Subnet[]])[] = [
  ['loopback', [['::1', 128]]],
  ['private', [['fc00::', 7]]],
  ['link_local', [['fe80::', 10]]],
  [
    'reserved',
    [
      // Teredo, benchmarking, ORCHID, documentation and 6to4 lie inside the global unicast range.
      ['2001::', 23],
      ['2001:db8::', 32],
      ['2002::', 16],
      ['3fff::', 20],
    ],
  ],
  ['public', [['2000::', 3]]],
];

const compile = (table: typeof IPV4, family: 'ipv4' | 'ipv6') =>
  table.map(([kind, subnets]) => {
    const list = new BlockList();
    for (const [network, prefix] of subnets) list.addSubnet(network, prefix, family);
    return { kind, list };
  });
const LISTS = { ipv4: compile(IPV4, 'ipv4'), ipv6: compile(IPV6, 'ipv6') };

/** @returns null when the text is no IP address; brackets are not one, a zone (`%eth0`) may follow IPv6 */
export function kindOf(address: string): AddressKind | null {
  const plain = plainAddress(address);
  if (plain === null) return null;
  const family = isIPv4(plain) ? 'ipv4' : 'ipv6';
  const found = LISTS[family].find(({ list }) => list.check(plain, family));
  return found?.kind ?? (family === 'ipv4' ? 'public' : 'reserved');
}

/** Without its zone, and an IPv4-mapped address (::ffff:a.b.c.d, RFC 4291 section 2.5.5.2) as IPv4; null: no address. */
export function plainAddress(address: string): string | null {
  const bare = address.split('%', 1)[0] ?? '';
  if (isIP(bare) === 0) return null;
  if (isIPv4(bare)) return bare;
  // URL writes it in the one form of RFC 5952, so that two spellings of an address compare equal.
  const short = new URL(`http://[${bare}]/`).hostname.slice(1, -1);
  const mapped = /^::ffff:([0-9a-f]{1,4}):([0-9a-f]{1,4})$/.exec(short);
  if (!mapped) return short;
  const high = Number.parseInt(mapped[1] ?? '', 16);
  const low = Number.parseInt(mapped[2] ?? '', 16);
  return `${high >> 8}.${high & 255}.${low >> 8}.${low & 255}`;
}

/** What one household has: an IPv4 address, or an IPv6 /64 (RFC 6177); null: no address. */
export function networkOf(address: string): string | null {
  const plain = plainAddress(address);
  if (plain === null || isIPv4(plain)) return plain;
  const [head = '', tail] = plain.split('::');
  const groups = head === '' ? [] : head.split(':');
  const after = tail ? tail.split(':') : [];
  if (tail !== undefined) while (groups.length + after.length < 8) groups.push('0');
  return `${[...groups, ...after].slice(0, 4).join(':')}::/64`;
}

/** An address and a port as they stand in a URL. */
export function hostAndPort(address: string, port: number): string {
  return address.includes(':') ? `[${address}]:${port}` : `${address}:${port}`;
}

/** The host of a URL: a name in lower case without its final dot, or an address without brackets. */
export function hostOf(url: string): string {
  return new URL(url).hostname
    .replace(/^\[|\]$/g, '')
    .replace(/\.$/, '')
    .toLowerCase();
}

/** True when a URL itself names a machine of a local network: an address that is not public, or "localhost". */
export function namesLocalMachine(url: string): boolean {
  const host = hostOf(url);
  if (host === 'localhost' || host.endsWith('.localhost')) return true;
  const kind = kindOf(host);
  return kind !== null && kind !== 'public';
}

/** Domains that nobody on the internet can have names in: RFC 6761, RFC 6762, RFC 8375, ICANN's for private use. */
const LAN_DOMAINS = ['.localhost', '.local', '.lan', '.home.arpa', '.internal'];

/** True for a name, in lower case, that only a local network can have. */
export function isLanName(name: string): boolean {
  return name === 'localhost' || LAN_DOMAINS.some((end) => name.endsWith(end) && name.length > end.length);
}
