import { createSocket } from 'node:dgram';
import { isIPv6 } from 'node:net';
import { plainAddress } from '#protocol/addresses.ts';
import type { Gateway } from '../mapping.ts';
import { MappingError } from '../mapping.ts';

const PORT = 1900;
const GROUP = { ipv4: '239.255.255.250', ipv6: 'ff02::c' };
/** What a search asks for: the gateways, and what counts in them, since some devices answer to that alone. */
export const TARGETS = [
  'urn:schemas-upnp-org:device:InternetGatewayDevice:2',
  'urn:schemas-upnp-org:device:InternetGatewayDevice:1',
  'urn:schemas-upnp-org:service:WANIPConnection:1',
  'urn:schemas-upnp-org:service:WANPPPConnection:1',
];
/** Devices looked at; a household has one gateway, seldom two. */
const MOST_DEVICES = 4;
const MOST_PACKET_BYTES = 4_096;
/** Searches are sent twice: UDP may lose one (UPnP Device Architecture 1.1, section 1.3.2). */
const AGAIN_MS = 500;
const WAIT_MS = 2_500;

/** The packet of a search (UDA 1.1 section 1.3.2). */
export function searchPacket(target: string, group: string): string {
  const host = isIPv6(group) ? `[${group}]` : group;
  return `M-SEARCH * HTTP/1.1\r\nHOST: ${host}:${PORT}\r\nMAN: "ssdp:discover"\r\nMX: 1\r\nST: ${target}\r\n\r\n`;
}

/**
 * Where a device that answered describes itself.
 * @param from who sent the packet: it may speak for itself alone, or it could send us to any host it likes
 * @returns null for anything else than an answer to our search
 */
export function readSearchAnswer(packet: string, from: string): URL | null {
  if (packet.length > MOST_PACKET_BYTES || !/^HTTP\/1\.[01] 200/i.test(packet)) return null;
  const header = (name: string) =>
    new RegExp(`^${name}[ \\t]*:[ \\t]*(.*?)[ \\t]*\\r?$`, 'im').exec(packet)?.[1];
  const target = header('ST');
  const location = header('LOCATION');
  if (!location || !target || !TARGETS.some((known) => known.slice(0, -1) === target.slice(0, -1)))
    return null;
  if (!URL.canParse(location)) return null;
  const url = new URL(location);
  if (url.protocol !== 'http:' || url.username !== '' || url.port === '0') return null;
  const host = plainAddress(url.hostname.replace(/^\[|\]$/g, ''));
  const sender = plainAddress(from);
  if (host === null || sender === null) return null;
  // An IPv6 router answers from its link-local address and names its global one: the same box if the same link.
  const speaksForItself = host === sender || (isIPv6(host) && sender.startsWith('fe80:'));
  return speaksForItself ? url : null;
}

/**
 * Asks the local network for gateways.
 * @returns where they describe themselves, the default gateway's first; empty: none answered
 * @throws MappingError `no_gateway` when nothing can be sent; AbortError
 */
export async function searchGateways(
  gateway: Gateway,
  signal: AbortSignal,
  waitMs = WAIT_MS,
): Promise<URL[]> {
  signal.throwIfAborted();
  const ipv4 = gateway.family === 'ipv4';
  const socket = createSocket({ type: ipv4 ? 'udp4' : 'udp6' });
  const found = new Map<string, { url: URL; isRouter: boolean }>();
  const zone = gateway.address.split('%')[1];
  const group = ipv4 ? GROUP.ipv4 : `${GROUP.ipv6}${zone ? `%${zone}` : ''}`;
  const packets = TARGETS.map((target) => Buffer.from(searchPacket(target, GROUP[gateway.family])));
  let again: NodeJS.Timeout | undefined;
  let deadline: NodeJS.Timeout | undefined;
  let aborted: () => void = () => undefined;
  try {
    await new Promise<void>((resolve, reject) => {
      const failed = (error: unknown) =>
        reject(new MappingError('no_gateway', `cannot search from ${gateway.local}: ${String(error)}`));
      aborted = () => reject(signal.reason);
      signal.addEventListener('abort', aborted, { once: true });
      socket.on('error', failed);
      socket.on('message', (packet, { address }) => {
        const url = readSearchAnswer(packet.toString('latin1'), address);
        if (!url || (found.size >= MOST_DEVICES && !found.has(url.href))) return;
        found.set(url.href, { url, isRouter: plainAddress(address) === plainAddress(gateway.address) });
      });
      const send = () => {
        for (const packet of packets) socket.send(packet, PORT, group, () => undefined);
      };
      socket.bind({ address: gateway.local, port: 0, exclusive: true }, () => {
        try {
          // Where the default route leads, whatever else the box is plugged into.
          if (ipv4) socket.setMulticastInterface(gateway.local);
          else if (zone) socket.setMulticastInterface(`::%${zone}`);
          socket.setMulticastTTL(2);
          send();
        } catch (error) {
          failed(error);
        }
      });
      again = setTimeout(send, AGAIN_MS);
      deadline = setTimeout(resolve, waitMs);
    });
  } finally {
    clearTimeout(again);
    clearTimeout(deadline);
    signal.removeEventListener('abort', aborted);
    socket.close();
  }
  return [...found.values()].sort((a, b) => Number(b.isRouter) - Number(a.isRouter)).map(({ url }) => url);
}
