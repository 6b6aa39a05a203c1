import type { DialCode, Family, MappingProblem, ReachReason } from '#protocol/reach.ts';
import type { Gateway, Mapped, MappingMethod } from './mapping.ts';

/** Which protocols are tried, best first. NAT-PMP knows no IPv6. */
export const METHODS: Record<Family, readonly MappingMethod[]> = {
  ipv4: ['pcp', 'natpmp', 'upnp'],
  ipv6: ['pcp', 'upnp'],
};

/** How one protocol went. Times are monotonic, ms. */
export interface Try {
  atMs: number;
  /** Had, and to be renewed at `nextMs`; null: not had, to be tried again at `nextMs`. */
  mapped: Mapped | null;
  nextMs: number;
  /** When the lease runs out. */
  expiresMs: number;
  problem: MappingProblem | null;
  /** The router gave something that is of no use. */
  useless: Extract<ReachReason, 'double_nat' | 'cgnat' | 'dial_failed'> | null;
  /** For a person: the router's own words, or the address it claims. */
  detail: string;
}

/** What the fleet found at an address. */
export interface Dial {
  atMs: number;
  code: DialCode;
  againMs: number;
}

export interface Endpoint {
  family: Family;
  way: 'public' | MappingMethod;
  address: string;
  port: number;
}

/** Everything that decides what is to be done next for one address family. */
export interface FamilyFacts {
  family: Family;
  /** The content port. */
  port: number;
  /** The box's own public address. */
  own: string | null;
  gateway: Gateway | null;
  /** Whether routers may be asked. */
  mapping: boolean;
  tries: Readonly<Partial<Record<MappingMethod, Try>>>;
  /** By `keyOf`. */
  dials: ReadonlyMap<string, Dial>;
  /** Whether the fleet can be asked to dial. */
  online: boolean;
  nowMs: number;
}

export type Step =
  | { do: 'dial'; endpoint: Endpoint }
  | { do: 'map'; method: MappingMethod; previous: Mapped | null }
  /** `because` null: a better rung bears. */
  | { do: 'unmap'; method: MappingMethod; mapped: Mapped; because: 'dial_failed' | null }
  | { do: 'wait'; untilMs: number };

export const keyOf = ({ address, port }: { address: string; port: number }) => `${address} ${port}`;

/** The box's own address as clients would use it; null: it has none. */
export function ownEndpoint({ family, own, port }: FamilyFacts): Endpoint | null {
  return own === null ? null : { family, way: 'public', address: own, port };
}

export function mappedEndpoint(mapped: Mapped): Endpoint {
  const { family, method, externalAddress, externalPort } = mapped;
  return { family, way: method, address: externalAddress, port: externalPort };
}

/**
 * The next step up the ladder, for one address family. The box's own address comes first, then what the router maps; a
 * rung bears only when the fleet has dialled it. A mapping that the fleet dialled in vain is given back.
 */
export function planFamily(facts: FamilyFacts): Step {
  const { tries, dials, online, nowMs } = facts;
  const methods = METHODS[facts.family];
  const held = methods.find((method) => tries[method]?.mapped);
  const own = ownEndpoint(facts);
  let untilMs = Number.POSITIVE_INFINITY;
  if (own) {
    const dial = dials.get(keyOf(own));
    if (online && (!dial || nowMs >= dial.againMs)) return { do: 'dial', endpoint: own };
    // An IPv6 pinhole has the box's own address: while it is what makes the address reachable, it stays.
    const mapped = held && tries[held]?.mapped;
    const isPinhole = mapped && keyOf(mappedEndpoint(mapped)) === keyOf(own);
    if (!dial || dial.code === 'ok' || dial.code === 'rate_limited') {
      if (mapped && !isPinhole) return { do: 'unmap', method: mapped.method, mapped, because: null };
      if (!mapped) return { do: 'wait', untilMs: dial?.againMs ?? untilMs };
    }
    untilMs = dial?.againMs ?? untilMs;
  }
  if (!facts.mapping || !facts.gateway) return { do: 'wait', untilMs };
  const current = held && tries[held];
  if (current?.mapped) {
    const { mapped, nextMs } = current;
    if (nowMs >= nextMs) return { do: 'map', method: mapped.method, previous: mapped };
    const endpoint = mappedEndpoint(mapped);
    const dial = dials.get(keyOf(endpoint));
    if (online && (!dial || nowMs >= dial.againMs)) return { do: 'dial', endpoint };
    if (!dial || dial.code === 'ok' || dial.code === 'rate_limited') {
      return { do: 'wait', untilMs: Math.min(nextMs, dial?.againMs ?? nextMs) };
    }
    return { do: 'unmap', method: mapped.method, mapped, because: 'dial_failed' };
  }
  for (const method of methods) {
    const known = tries[method];
    if (!known || nowMs >= known.nextMs) return { do: 'map', method, previous: null };
    untilMs = Math.min(untilMs, known.nextMs);
    // Whatever protocol it is asked by, the router has no better address to give.
    if (known.useless === 'double_nat' || known.useless === 'cgnat') break;
  }
  return { do: 'wait', untilMs };
}

/** RFC 6887 section 11.2.1: between a half and five eighths of the lease, never sooner than 4 s. */
export function renewAfterMs(lifetimeS: number, checkMs: number, random: () => number): number {
  const half = lifetimeS * 1000 * (0.5 + random() / 8);
  // Asked sooner it tells of a restarted router and of another address, at the price of two packets.
  return Math.max(4_000, Math.min(half, checkMs * (0.9 + random() / 5)));
}
