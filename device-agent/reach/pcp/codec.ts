import { isIPv4, isIPv6 } from 'node:net';
import { plainAddress } from '#protocol/addresses.ts';

/**
 * The Port Control Protocol's packets (RFC 6887), as far as a client without THIRD_PARTY needs them: ANNOUNCE and
 * MAP, with PREFER_FAILURE. Pure: bytes in, values out. Nothing here throws on what comes from the network.
 */
export const PCP_VERSION = 2;
/** Where servers listen (section 19.1); NAT-PMP shares it. */
export const SERVER_PORT = 5351;
/** Where clients hear of restarted servers, at 224.0.0.1 and ff02::1. */
export const CLIENT_PORT = 5350;
/** Section 7: "PCP messages are at most 1100 octets". */
export const MAX_PACKET_BYTES = 1100;

const HEADER_BYTES = 24;
const MAP_BYTES = 36;
const ANNOUNCE = 0;
const MAP = 1;
const RESPONSE = 0x80;
const OPTION_PREFER_FAILURE = 2;
export const TCP = 6;
export const NONCE_BYTES = 12;

/** Result codes of section 7.4 that a client acts upon; others are known by their number. */
export const RESULTS = {
  0: 'SUCCESS',
  1: 'UNSUPP_VERSION',
  2: 'NOT_AUTHORIZED',
  3: 'MALFORMED_REQUEST',
  4: 'UNSUPP_OPCODE',
  5: 'UNSUPP_OPTION',
  6: 'MALFORMED_OPTION',
  7: 'NETWORK_FAILURE',
  8: 'NO_RESOURCES',
  9: 'UNSUPP_PROTOCOL',
  10: 'USER_EX_QUOTA',
  11: 'CANNOT_PROVIDE_EXTERNAL',
  12: 'ADDRESS_MISMATCH',
  13: 'EXCESSIVE_REMOTE_PEERS',
} as const;
export type ResultCode = keyof typeof RESULTS;

export interface MapRequest {
  clientAddress: string;
  nonce: Uint8Array;
  internalPort: number;
  /** 0: any. */
  externalPort: number;
  /** null: any. */
  externalAddress: string | null;
  /** 0 deletes. */
  lifetimeS: number;
  /** Fail rather than give another port (section 13.2). */
  preferFailure: boolean;
}

/** What came from the server, if it is an answer at all. */
export type PcpAnswer =
  | { kind: 'announce'; epochS: number }
  | { kind: 'mapped'; epochS: number; lifetimeS: number; externalPort: number; externalAddress: string }
  /** `highestVersion` counts for UNSUPP_VERSION: 0 is a router that speaks NAT-PMP only. */
  | { kind: 'error'; result: number; epochS: number; lifetimeS: number; highestVersion: number }
  | { kind: 'refused'; why: string };

/** @throws RangeError when the caller's own values do not fit */
export function encodeMap(request: MapRequest): Buffer {
  const { clientAddress, nonce, internalPort, externalPort, lifetimeS } = request;
  if (nonce.length !== NONCE_BYTES) throw new RangeError(`a nonce has ${NONCE_BYTES} bytes`);
  const packet = Buffer.alloc(HEADER_BYTES + MAP_BYTES + (request.preferFailure ? 4 : 0));
  header(packet, MAP, lifetimeS, clientAddress);
  packet.set(nonce, 24);
  packet[36] = TCP;
  packet.writeUInt16BE(internalPort, 40);
  packet.writeUInt16BE(externalPort, 42);
  // "Any address" is written in the family that is wanted (section 11.1).
  const any = isIPv4(clientAddress) ? '0.0.0.0' : '::';
  packet.set(addressBytes(request.externalAddress ?? any), 44);
  if (request.preferFailure) packet[60] = OPTION_PREFER_FAILURE;
  return packet;
}

/** Asks whether a server is there, and for its epoch (section 14.1). */
export function encodeAnnounce(clientAddress: string): Buffer {
  const packet = Buffer.alloc(HEADER_BYTES);
  header(packet, ANNOUNCE, 0, clientAddress);
  return packet;
}

function header(packet: Buffer, opcode: number, lifetimeS: number, clientAddress: string): void {
  packet[0] = PCP_VERSION;
  packet[1] = opcode;
  packet.writeUInt32BE(lifetimeS, 4);
  packet.set(addressBytes(clientAddress), 8);
}

/**
 * Reads a server's answer by the rules of sections 8.3 and 11.4. What is not an answer to `request` is refused,
 * with the reason: it is dropped, and the request sent again in its time.
 * @param request what was asked; null takes ANNOUNCE only
 */
export function readAnswer(packet: Uint8Array, request: MapRequest | null): PcpAnswer {
  const bytes = Buffer.from(packet.buffer, packet.byteOffset, packet.length);
  const version = bytes[0];
  const opcodeByte = bytes[1];
  if (version === undefined || opcodeByte === undefined) return refused('shorter than two bytes');
  if ((opcodeByte & RESPONSE) === 0) return refused('a request, not a response');
  if (version !== PCP_VERSION) return readOtherVersion(bytes, version);
  if (bytes.length < HEADER_BYTES) return refused(`${bytes.length} bytes, a response has at least 24`);
  if (bytes.length > MAX_PACKET_BYTES) return refused(`${bytes.length} bytes, a response has at most 1100`);
  if (bytes.length % 4 !== 0) return refused('its length is no multiple of four');
  const opcode = opcodeByte & ~RESPONSE;
  const result = bytes[3] ?? 0;
  const lifetimeS = bytes.readUInt32BE(4);
  const epochS = bytes.readUInt32BE(8);
  if (opcode !== (request ? MAP : ANNOUNCE)) return refused(`an answer to opcode ${opcode}`);
  if (!request) {
    if (result === 0) return { kind: 'announce', epochS };
    return { kind: 'error', result, epochS, lifetimeS, highestVersion: version };
  }
  // An error may come back without the opcode's part (section 8.2); whose it is, the address it came from tells.
  if (result !== 0 && bytes.length < HEADER_BYTES + MAP_BYTES) {
    return { kind: 'error', result, epochS, lifetimeS, highestVersion: version };
  }
  if (bytes.length < HEADER_BYTES + MAP_BYTES) return refused('too short for a mapping');
  if (!bytes.subarray(24, 36).equals(request.nonce)) return refused('the nonce is not ours');
  if (bytes[36] !== TCP) return refused(`protocol ${bytes[36]}, asked for TCP`);
  if (bytes.readUInt16BE(40) !== request.internalPort) return refused('another internal port');
  if (result !== 0) return { kind: 'error', result, epochS, lifetimeS, highestVersion: version };
  const externalPort = bytes.readUInt16BE(42);
  const externalAddress = readAddress(bytes.subarray(44, 60));
  if (request.lifetimeS > 0 && externalPort === 0) return refused('mapped to port 0');
  if (isIPv4(externalAddress) !== isIPv4(request.clientAddress) && request.lifetimeS > 0) {
    return refused('mapped in another address family');
  }
  return { kind: 'mapped', epochS, lifetimeS, externalPort, externalAddress };
}

/** Routers that speak NAT-PMP only answer in their own form: version 0, result 1 (RFC 6886 section 3.5). */
function readOtherVersion(bytes: Buffer, version: number): PcpAnswer {
  if (version === 0 && bytes.length >= 4 && bytes.readUInt16BE(2) === 1) {
    const epochS = bytes.length >= 8 ? bytes.readUInt32BE(4) : 0;
    return { kind: 'error', result: 1, epochS, lifetimeS: 0, highestVersion: 0 };
  }
  // RFC 6887 section 9: the version in an UNSUPP_VERSION response is the highest the server speaks.
  if (bytes.length >= HEADER_BYTES && bytes[3] === 1) {
    const lifetimeS = bytes.readUInt32BE(4);
    return {
      kind: 'error',
      result: 1,
      epochS: bytes.readUInt32BE(8),
      lifetimeS,
      highestVersion: version,
    };
  }
  return refused(`version ${version}`);
}

/** 16 bytes; IPv4 is written as ::ffff:a.b.c.d (section 5). @throws RangeError for no address */
export function addressBytes(address: string): Buffer {
  const plain = plainAddress(address);
  if (plain === null) throw new RangeError(`"${address}" is no address`);
  const bytes = Buffer.alloc(16);
  if (isIPv4(plain)) {
    bytes.fill(0xff, 10, 12);
    bytes.set(plain.split('.').map(Number), 12);
    return bytes;
  }
  const [head = '', tail] = plain.split('::');
  const groups = (text: string) =>
    text === '' ? [] : text.split(':').map((part) => Number.parseInt(part, 16));
  const left = groups(head);
  const right = groups(tail ?? '');
  for (const [index, group] of left.entries()) bytes.writeUInt16BE(group, index * 2);
  for (const [index, group] of right.entries()) bytes.writeUInt16BE(group, 16 - (right.length - index) * 2);
  return bytes;
}

/** The reverse of `addressBytes`. */
export function readAddress(bytes: Uint8Array): string {
  const groups = Array.from({ length: 8 }, (_, index) =>
    (((bytes[index * 2] ?? 0) << 8) | (bytes[index * 2 + 1] ?? 0)).toString(16),
  );
  const address = groups.join(':');
  return isIPv6(address) ? (plainAddress(address) ?? '::') : '::';
}

const refused = (why: string): PcpAnswer => ({ kind: 'refused', why });
