/**
 * NAT-PMP's packets (RFC 6886), for routers that have not got to PCP. Pure: nothing here throws on what comes from
 * the network.
 */
const VERSION = 0;
const RESPONSE = 128;
const EXTERNAL_ADDRESS = 0;
const MAP_TCP = 2;

/** Section 3.5. */
export const RESULTS: Record<number, string> = {
  0: 'success',
  1: 'unsupported version',
  2: 'not authorized',
  3: 'network failure',
  4: 'out of resources',
  5: 'unsupported opcode',
};

export type NatPmpAnswer =
  | { kind: 'address'; epochS: number; address: string }
  | { kind: 'mapped'; epochS: number; externalPort: number; lifetimeS: number }
  | { kind: 'error'; result: number; epochS: number }
  | { kind: 'refused'; why: string };

/** Section 3.2. */
export function encodeAddressRequest(): Buffer {
  return Buffer.from([VERSION, EXTERNAL_ADDRESS]);
}

/** Section 3.3; a lifetime of 0 with external port 0 deletes (section 3.4). */
export function encodeMapTcp(internalPort: number, externalPort: number, lifetimeS: number): Buffer {
  const packet = Buffer.alloc(12);
  packet[1] = MAP_TCP;
  packet.writeUInt16BE(internalPort, 4);
  packet.writeUInt16BE(externalPort, 6);
  packet.writeUInt32BE(lifetimeS, 8);
  return packet;
}

/** @param asked the internal port of a mapping, or null for the router's address */
export function readAnswer(packet: Uint8Array, asked: { internalPort: number } | null): NatPmpAnswer {
  const bytes = Buffer.from(packet.buffer, packet.byteOffset, packet.length);
  if (bytes.length < 8) return refused(`${bytes.length} bytes, an answer has at least 8`);
  if (bytes[0] !== VERSION) return refused(`version ${bytes[0]}`);
  if (bytes[1] !== RESPONSE + (asked ? MAP_TCP : EXTERNAL_ADDRESS)) return refused(`opcode ${bytes[1]}`);
  const result = bytes.readUInt16BE(2);
  const epochS = bytes.readUInt32BE(4);
  if (result !== 0) return { kind: 'error', result, epochS };
  if (!asked) {
    if (bytes.length !== 12) return refused(`${bytes.length} bytes, an address answer has 12`);
    return { kind: 'address', epochS, address: [...bytes.subarray(8, 12)].join('.') };
  }
  if (bytes.length !== 16) return refused(`${bytes.length} bytes, a mapping answer has 16`);
  if (bytes.readUInt16BE(8) !== asked.internalPort) return refused('another internal port');
  return {
    kind: 'mapped',
    epochS,
    externalPort: bytes.readUInt16BE(10),
    lifetimeS: bytes.readUInt32BE(12),
  };
}

const refused = (why: string): NatPmpAnswer => ({ kind: 'refused', why });
