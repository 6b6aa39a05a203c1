import { readFile } from 'node:fs/promises';
import { BlockList } from 'node:net';
import os from 'node:os';
import { type AddressKind, kindOf, plainAddress } from '#protocol/addresses.ts';
import type { Family } from '#protocol/reach.ts';
import type { Gateway } from './mapping.ts';
import { readAddress } from './pcp/codec.ts';

/** What the box is plugged into, as its kernel says. */
export interface Network {
  addresses: { interface: string; address: string; family: Family; kind: AddressKind }[];
  gateways: Record<Family, Gateway | null>;
}

/** The kernel's tables as text; Linux has them, elsewhere they are empty. */
export interface Tables {
  route4: string;
  route6: string;
  /** Which IPv6 addresses are temporary (RFC 8981) or deprecated. */
  inet6: string;
  interfaces: NodeJS.Dict<os.NetworkInterfaceInfo[]>;
}

const RTF_GATEWAY = 2;
const TEMPORARY_OR_DEPRECATED = 0x01 | 0x20;

/** Reads the tables. Cheap enough for every few seconds: three small files. */
export async function readTables(): Promise<Tables> {
  const read = (file: string) => readFile(file, 'utf8').catch(() => '');
  const [route4, route6, inet6] = await Promise.all(
    ['/proc/net/route', '/proc/net/ipv6_route', '/proc/net/if_inet6'].map(read),
  );
  return {
    route4: route4 ?? '',
    route6: route6 ?? '',
    inet6: inet6 ?? '',
    interfaces: os.networkInterfaces(),
  };
}

/** Makes sense of the tables. */
export function networkOf(tables: Tables): Network {
  const passing = passingAddresses(tables.inet6);
  const addresses: Network['addresses'] = [];
  for (const [name, list] of Object.entries(tables.interfaces)) {
    for (const info of list ?? []) {
      const address = plainAddress(info.address);
      const kind = address && kindOf(address);
      if (!address || !kind || kind === 'loopback' || kind === 'link_local') continue;
      const family: Family = info.family === 'IPv4' ? 'ipv4' : 'ipv6';
      // A temporary address is gone tomorrow; it is good for going out only.
      if (passing.has(address)) continue;
      addresses.push({ interface: name, address, family, kind });
    }
  }
  return { addresses, gateways: { ipv4: gateway4(tables, addresses), ipv6: gateway6(tables, addresses) } };
}

/** Equal when nothing changed that matters. */
export function fingerprintOf(network: Network): string {
  return JSON.stringify([network.gateways, network.addresses.map(({ address }) => address).sort()]);
}

/** The box's own address of that family that its number says can be reached; null: none. */
export function publicAddress(network: Network, family: Family): string | null {
  const all = network.addresses.filter((found) => found.family === family && found.kind === 'public');
  const local = network.gateways[family]?.local;
  return (all.find(({ address }) => address === local) ?? all[0])?.address ?? null;
}

/** /proc/net/route: interface, destination, gateway, flags, ..., metric, mask; addresses in hex, little-endian. */
function gateway4(tables: Tables, addresses: Network['addresses']): Gateway | null {
  let best: { name: string; router: string; metric: number } | null = null;
  for (const line of tables.route4.split('\n').slice(1)) {
    const [name, destination, gateway, flags, , , metricText, mask] = line.split(/\s+/);
    if (!name || !gateway || destination !== '00000000' || mask !== '00000000') continue;
    if ((Number.parseInt(flags ?? '0', 16) & RTF_GATEWAY) === 0 || !/^[0-9A-F]{8}$/i.test(gateway)) continue;
    const router = [...Buffer.from(gateway, 'hex')].reverse().join('.');
    const metric = Number(metricText);
    if (!best || metric < best.metric) best = { name, router, metric };
  }
  if (!best) return null;
  const { name, router } = best;
  const own = (tables.interfaces[name] ?? []).filter(({ family }) => family === 'IPv4');
  const beside = own.find(({ cidr }) => {
    const [network, prefix] = cidr?.split('/') ?? [];
    if (!network || !prefix) return false;
    const list = new BlockList();
    list.addSubnet(network, Number(prefix), 'ipv4');
    return list.check(router, 'ipv4');
  });
  const local =
    beside?.address ?? own[0]?.address ?? addresses.find(({ family }) => family === 'ipv4')?.address;
  return local ? { family: 'ipv4', address: router, local } : null;
}

/** /proc/net/ipv6_route: destination, length, source, length, next hop, metric, ..., flags, interface; all in hex. */
function gateway6(tables: Tables, addresses: Network['addresses']): Gateway | null {
  let best: { name: string; router: string; metric: number } | null = null;
  for (const line of tables.route6.split('\n')) {
    const [destination, length, , , next, metricText, , , flags, name] = line.trim().split(/\s+/);
    if (!name || !next || length !== '00' || !/^0{32}$/.test(destination ?? '') || /^0{32}$/.test(next))
      continue;
    if ((Number.parseInt(flags ?? '0', 16) & RTF_GATEWAY) === 0 || !/^[0-9a-f]{32}$/i.test(next)) continue;
    const metric = Number.parseInt(metricText ?? '0', 16);
    if (!best || metric < best.metric) best = { name, router: readAddress(Buffer.from(next, 'hex')), metric };
  }
  if (!best) return null;
  const { name, router } = best;
  const local = addresses.find(
    (found) => found.family === 'ipv6' && found.kind === 'public' && found.interface === name,
  )?.address;
  if (!local) return null;
  const address = kindOf(router) === 'link_local' ? `${router}%${name}` : router;
  return { family: 'ipv6', address, local };
}

function passingAddresses(inet6: string): Set<string> {
  const found = new Set<string>();
  for (const line of inet6.split('\n')) {
    const [address, , , , flags] = line.trim().split(/\s+/);
    if (!address || !/^[0-9a-f]{32}$/i.test(address)) continue;
    if ((Number.parseInt(flags ?? '0', 16) & TEMPORARY_OR_DEPRECATED) !== 0) {
      found.add(readAddress(Buffer.from(address, 'hex')));
    }
  }
  return found;
}
