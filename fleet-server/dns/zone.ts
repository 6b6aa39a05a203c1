import type { Answer } from 'dns-packet';

/** What is asked: a name as the client wrote it, and a type. */
export interface Question {
  name: string;
  type: string;
}

/** What the zone holds of one box. */
export interface BoxRecords {
  a: readonly string[];
  aaaa: readonly string[];
  /** Answers to the CA's DNS-01 challenges that are open now. */
  challenges: readonly string[];
}

/**
 * What is known of a box's label; null when there is no such box.
 * @param fresh a moment ago is too old: a challenge is looked for right after it was put up
 */
export type FindBox = (label: string, fresh: boolean) => Promise<BoxRecords | null>;

export interface ZoneOptions {
  /** Boxes are `<label>.<domain>`. */
  domain: string;
  /** Names of this zone's servers, and their addresses where they lie in the zone. */
  nameServers: readonly { name: string; a: readonly string[]; aaaa: readonly string[] }[];
  /** Where the person in charge can be written to, as SOA has it. */
  contact: string;
  /** Who may issue certificates below the domain (RFC 8659). */
  issuer: string;
  /** How long addresses may be kept, s: short, since a home's changes when it likes. */
  ttlS: number;
}

export interface Reply {
  rcode: 'NOERROR' | 'NXDOMAIN' | 'REFUSED';
  /** Whether it is ours to say. */
  authoritative: boolean;
  answers: Answer[];
  authorities: Answer[];
  additionals: Answer[];
}

/** Of what the zone says of itself, s. */
const FIXED_TTL_S = 3600;
/** How long a resolver may remember that there is nothing (RFC 2308), s. */
const NEGATIVE_TTL_S = 30;
const CHALLENGE = '_acme-challenge';

const REFUSED: Reply = {
  rcode: 'REFUSED',
  authoritative: false,
  answers: [],
  authorities: [],
  additionals: [],
};

/**
 * The answer of the fleet's zone: the apex with SOA, NS and CAA, its servers, and each box with its addresses and its
 * challenges. Authoritative for these and nothing else (RFC 1034 section 4.3.2, without delegations and wildcards).
 * @param serial of the SOA: grows with time
 */
export async function answer(
  zone: ZoneOptions,
  question: Question,
  serial: number,
  find: FindBox,
): Promise<Reply> {
  const name = question.name.toLowerCase();
  const { domain } = zone;
  if (name !== domain && !name.endsWith(`.${domain}`)) return REFUSED;
  const soa = soaOf(zone, serial);
  const found = await recordsAt(zone, name, soa, find);
  if (found === null) return negative('NXDOMAIN', soa);
  // The client gets its own spelling back (draft-vixie-dnsext-dns0x20): it is how it tells an answer from a forgery.
  const answers = found
    .filter((record) => record.type === question.type)
    .map((record) => ({ ...record, name: question.name }));
  if (answers.length === 0) return negative('NOERROR', soa);
  const additionals = question.type === 'NS' ? glueOf(zone) : [];
  return { rcode: 'NOERROR', authoritative: true, answers, authorities: [], additionals };
}

/** All records at a name; null when the name is not there. */
async function recordsAt(
  zone: ZoneOptions,
  name: string,
  soa: Answer,
  find: FindBox,
): Promise<Answer[] | null> {
  const { domain, nameServers, issuer } = zone;
  if (name === domain) {
    return [
      soa,
      ...nameServers.map((server) => ({ name, type: 'NS', ttl: FIXED_TTL_S, data: server.name }) as Answer),
      ...caaOf(name, issuer),
    ];
  }
  const server = nameServers.find((one) => one.name === name);
  if (server) return addressesOf(name, server, FIXED_TTL_S);
  const labels = name.slice(0, -domain.length - 1).split('.');
  const label = labels.at(-1) ?? '';
  const isChallenge = labels.length === 2 && labels[0] === CHALLENGE;
  const box = await find(label, isChallenge);
  if (!box) return null;
  if (labels.length === 1) return addressesOf(name, box, zone.ttlS);
  if (!isChallenge || box.challenges.length === 0) return null;
  // One record for each: a CA asks for the name of a certificate and of its renewal at the same time.
  return box.challenges.map((data) => ({ name, type: 'TXT', ttl: 1, data: [data] }) as Answer);
}

function addressesOf(name: string, { a, aaaa }: Pick<BoxRecords, 'a' | 'aaaa'>, ttl: number): Answer[] {
  return [
    ...a.map((data) => ({ name, type: 'A', ttl, data }) as Answer),
    ...aaaa.map((data) => ({ name, type: 'AAAA', ttl, data }) as Answer),
  ];
}

function glueOf(zone: ZoneOptions): Answer[] {
  return zone.nameServers
    .filter(({ name }) => name.endsWith(`.${zone.domain}`))
    .flatMap((server) => addressesOf(server.name, server, FIXED_TTL_S));
}

/** Only this CA, and no wildcards: names below are single boxes. */
function caaOf(name: string, issuer: string): Answer[] {
  const caa = (tag: string, value: string) =>
    ({ name, type: 'CAA', ttl: FIXED_TTL_S, data: { flags: 0, tag, value } }) as unknown as Answer;
  return [caa('issue', issuer), caa('issuewild', ';')];
}

function soaOf(zone: ZoneOptions, serial: number): Answer {
  return {
    name: zone.domain,
    type: 'SOA',
    ttl: NEGATIVE_TTL_S,
    data: {
      mname: zone.nameServers[0]?.name ?? zone.domain,
      rname: zone.contact,
      serial,
      refresh: 3600,
      retry: 600,
      expire: 604_800,
      minimum: NEGATIVE_TTL_S,
    },
  };
}

function negative(rcode: 'NOERROR' | 'NXDOMAIN', soa: Answer): Reply {
  return { rcode, authoritative: true, answers: [], authorities: [soa], additionals: [] };
}
