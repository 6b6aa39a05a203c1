import type { Family, MappingProblem } from '#protocol/reach.ts';

/** What the three mapping protocols have in common: what is asked of a router, what it gives, why it does not. */

export type MappingMethod = 'pcp' | 'natpmp' | 'upnp';

/** A mapping could not be had; `detail` is for a person who knows networks. */
export class MappingError extends Error {
  readonly problem: MappingProblem;
  /** Asking sooner is pointless, ms; null where the router said nothing. */
  readonly retryAfterMs: number | null;
  /** The router's own address outside, where it told that much: a private one explains everything. */
  readonly externalAddress: string | null;

  constructor(
    problem: MappingProblem,
    detail: string,
    more: { retryAfterMs?: number; externalAddress?: string } = {},
  ) {
    super(detail);
    this.name = 'MappingError';
    this.problem = problem;
    this.retryAfterMs = more.retryAfterMs ?? null;
    this.externalAddress = more.externalAddress ?? null;
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
