import type { Packet } from 'dns-packet';
import packet from 'dns-packet';
import type { Question, Reply } from './zone.ts';

/** Largest query that is read, bytes: a question and EDNS take far less. */
export const MOST_QUERY_BYTES = 1232;
/** Largest answer over UDP that no path has to cut into fragments (DNS flag day 2020), bytes. */
const MOST_UDP_BYTES = 1232;
/** What a client without EDNS takes (RFC 1035 section 4.2.1), bytes. */
const PLAIN_UDP_BYTES = 512;

/** RFC 1035 section 4.1.1, and RFC 6891 for the last. */
const RCODES = { NOERROR: 0, FORMERR: 1, SERVFAIL: 2, NXDOMAIN: 3, NOTIMP: 4, REFUSED: 5 } as const;
type Rcode = keyof typeof RCODES;

const QR = 1 << 15;
const AA = 1 << 10;
const TC = 1 << 9;
const RD = 1 << 8;
const OPCODE = 0xf << 11;

export type Read =
  /** Not to be answered: it is no query, or too short to say to whom. */
  | { kind: 'drop' }
  /** To be answered with this, without looking anything up. */
  | { kind: 'refuse'; bytes: Buffer }
  | {
      kind: 'ask';
      id: number;
      question: Question;
      recursionDesired: boolean;
      edns: boolean;
      mostBytes: number;
    };

/**
 * Reads a query.
 * @param overTcp answers are then as long as they need to be
 */
export function readQuery(bytes: Buffer, overTcp: boolean): Read {
  if (bytes.length < 12 || bytes.length > MOST_QUERY_BYTES) return { kind: 'drop' };
  const id = bytes.readUInt16BE(0);
  const flags = bytes.readUInt16BE(2);
  // Answering answers would let two servers talk for ever.
  if (flags & QR) return { kind: 'drop' };
  const refuse = (rcode: Rcode): Read => ({ kind: 'refuse', bytes: bare(id, flags, rcode) });
  if (flags & OPCODE) return refuse('NOTIMP');
  let query: Packet;
  try {
    query = packet.decode(bytes);
  } catch {
    return refuse('FORMERR');
  }
  const [question, ...others] = query.questions ?? [];
  if (!question || others.length > 0) return refuse('FORMERR');
  if ((question.class ?? 'IN') !== 'IN') return refuse('REFUSED');
  // Transfers and "everything": an attacker's lever (RFC 8482 lets a server say no).
  if (['AXFR', 'IXFR', 'ANY'].includes(question.type)) return refuse('REFUSED');
  const opt = query.additionals?.find(({ type }) => type === 'OPT') as
    | { udpPayloadSize?: number }
    | undefined;
  const offered = opt ? Math.max(PLAIN_UDP_BYTES, opt.udpPayloadSize ?? 0) : PLAIN_UDP_BYTES;
  return {
    kind: 'ask',
    id,
    question: { name: question.name, type: question.type },
    recursionDesired: (flags & RD) !== 0,
    edns: opt !== undefined,
    mostBytes: overTcp ? 65_535 : Math.min(offered, MOST_UDP_BYTES),
  };
}

/** Writes the answer; one that is too long for the client's UDP says so, and it comes again over TCP. */
export function writeReply(query: Extract<Read, { kind: 'ask' }>, reply: Reply): Buffer {
  const { id, question, recursionDesired, edns, mostBytes } = query;
  const flags = (reply.authoritative ? AA : 0) | (recursionDesired ? RD : 0) | RCODES[reply.rcode];
  const whole: Packet = {
    type: 'response',
    id,
    flags,
    questions: [{ name: question.name, type: question.type as 'A', class: 'IN' }],
    answers: reply.answers,
    authorities: reply.authorities,
    additionals: [...reply.additionals, ...(edns ? [OPT] : [])],
  };
  const bytes = packet.encode(whole);
  if (bytes.length <= mostBytes) return bytes;
  return packet.encode({
    ...whole,
    flags: flags | TC,
    answers: [],
    authorities: [],
    additionals: edns ? [OPT] : [],
  });
}

/** An answer without records: the truncated one sends an honest client to TCP, which a forger cannot follow. */
export function writeTruncated(query: Extract<Read, { kind: 'ask' }>): Buffer {
  const { id, question, recursionDesired } = query;
  return packet.encode({
    type: 'response',
    id,
    flags: TC | (recursionDesired ? RD : 0),
    questions: [{ name: question.name, type: question.type as 'A', class: 'IN' }],
  });
}

/** What cannot be looked up now. */
export function writeFailure(query: Extract<Read, { kind: 'ask' }>): Buffer {
  return bare(query.id, query.recursionDesired ? RD : 0, 'SERVFAIL');
}

/** A head alone: the query's id, opcode and wish for recursion. */
function bare(id: number, flags: number, rcode: Rcode): Buffer {
  const bytes = Buffer.alloc(12);
  bytes.writeUInt16BE(id, 0);
  bytes.writeUInt16BE(QR | (flags & (OPCODE | RD)) | RCODES[rcode], 2);
  return bytes;
}

/** RFC 6891: what this server takes. */
const OPT = {
  name: '.',
  type: 'OPT',
  udpPayloadSize: MOST_UDP_BYTES,
  extendedRcode: 0,
  ednsVersion: 0,
  flags: 0,
  flag_do: false,
  options: [],
} as unknown as NonNullable<Packet['additionals']>[number];
