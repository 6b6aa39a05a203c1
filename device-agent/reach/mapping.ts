/** What the three mapping protocols have in common: what is asked of a router, what it gives, why it does not. */

export type Family = 'ipv4' | 'ipv6';
export type MappingMethod = 'pcp' | 'natpmp' | 'upnp';

/** Why a router gave no mapping. Each has a text in both languages in the dashboards. */
export const MAPPING_PROBLEMS = [
  /** There is no default route: no router to ask. */
  'no_gateway',
  /** Nothing came back. */
  'no_answer',
  /** Nobody listens there (ICMP port unreachable): it is switched off or unknown to the router. */
  'not_offered',
  /** The router knows of it, but not in a version or for a kind of address that would help. */
  'unsupported',
  /** The router's settings forbid it. */
  'not_authorized',
  /** The wanted port is another device's, and nothing else was given. */
  'port_taken',
  /** The router has no room for another mapping. */
  'router_full',
  /** The router says that it has itself no connection. */
  'no_wan',
  /** What came back cannot be understood or contradicts itself. */
  'bad_answer',
  /** The router failed; `detail` has its own words. */
  'router_error',
] as const;
export type MappingProblem = (typeof MAPPING_PROBLEMS)[number];

/** A mapping could not be had; `detail` is for a person who knows networks. */
export class MappingError extends Error {
  readonly problem: MappingProblem;
  /** Asking sooner is pointless, ms; null where the router said nothing. */
  readonly retryAfterMs: number | null;

  constructor(problem: MappingProblem, detail: string, retryAfterMs: number | null = null) {
    super(detail);
    this.name = 'MappingError';
    this.problem = problem;
    this.retryAfterMs = retryAfterMs;
  }
}

/** The router to ask, and from where. */
export interface Gateway {
  family: Family;
  /** A link-local IPv6 address has its zone (`fe80::1%eth0`). */
  address: string;
  /** The box's own address on the way there: what is mapped to. */
  local: string;
}

export interface Wanted {
  gateway: Gateway;
  internalPort: number;
  /** What the outside port should be, if it is free. For an IPv6 pinhole it is the internal port. */
  externalPort: number;
  /** As long as the mapping should live, seconds. */
  lifetimeS: number;
  /** Given up rather than another port accepted. */
  exact?: boolean;
  /** What was had before, so that the router can give the same again. */
  previous?: Mapped | null;
}

export interface Mapped {
  method: MappingMethod;
  family: Family;
  gateway: Gateway;
  internalPort: number;
  /** As the router says: a claim, until somebody outside has dialled it. */
  externalAddress: string;
  externalPort: number;
  /** Granted, seconds. Infinity: until it is deleted (routers that know permanent mappings only). */
  lifetimeS: number;
  /** The router has forgotten its mappings since the last answer: it was restarted. */
  rebooted: boolean;
  /** UPnP's handle of an IPv6 pinhole. */
  pinholeId?: number;
}

/** One way to get a mapping. A second `map` for the same port renews it. */
export interface PortMapper {
  readonly method: MappingMethod;
  /** @throws MappingError; AbortError when the signal ends it */
  map(wanted: Wanted, signal: AbortSignal): Promise<Mapped>;
  /** Takes a mapping back. One that is gone already is no error. @throws as `map` */
  unmap(mapped: Mapped, signal: AbortSignal): Promise<void>;
}
