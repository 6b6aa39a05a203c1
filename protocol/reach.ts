import * as z from 'zod';
import { timeSchema } from './asset.ts';

/**
 * How clients get to a box: the ladder it climbs, what stood in the way, and what the household could change. Codes and
 * values only; the dashboards have the words.
 */

export const FAMILIES = ['ipv4', 'ipv6'] as const;
export type Family = (typeof FAMILIES)[number];

/** The rungs, best first. `configured`: the household named an address itself. */
export const REACH_WAYS = ['configured', 'public', 'pcp', 'natpmp', 'upnp', 'relay'] as const;
export type ReachWay = (typeof REACH_WAYS)[number];

/** Why a router gave no mapping. */
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

/** What the fleet found when it dialled an address. */
export const DIAL_CODES = [
  'ok',
  /** Somebody is there, and closed the door. */
  'refused',
  'timeout',
  'unreachable',
  /** Something answers, but it is not this box: a lying router, or a changed address. */
  'not_this_box',
  /** Addresses nobody on the internet has, or not this box's: the fleet does not dial them. */
  'forbidden_address',
  'forbidden_port',
  /** Too many new addresses from this box; it is dialled later. */
  'rate_limited',
] as const;
export type DialCode = (typeof DIAL_CODES)[number];

/** Why a rung does not bear. */
export const REACH_REASONS = [
  ...MAPPING_PROBLEMS,
  /** The router's outside address is itself private: another router stands before it. Values: `address`. */
  'double_nat',
  /** The provider's NAT (100.64.0.0/10). Values: `address`. */
  'cgnat',
  /** The router hides its address or has none, and yet the box is online: one of the two above. */
  'behind_nat',
  /** The household or operator switched it off. */
  'mapping_off',
  /** The content port listens on this machine alone. */
  'loopback_only',
  /** This box has no public address of its own. */
  'no_public_address',
  /** There, but the fleet has not dialled yet. */
  'not_dialled',
  /** The fleet dialled in vain; values: `dial` (a DialCode), `address`, `port`. */
  'dial_failed',
  /** A better rung bears already. */
  'not_needed',
  /** The relay is not connected. */
  'relay_down',
] as const;
export type ReachReason = (typeof REACH_REASONS)[number];

/** What the household could do, most useful first. */
export const REACH_ADVICE = [
  'turn_mapping_on',
  'enable_upnp',
  'allow_this_box',
  'bridge_modem',
  'ask_provider_for_address',
  'forward_port',
  'open_ipv6_port',
  'restart_router',
  'check_cable',
] as const;
export type ReachAdvice = (typeof REACH_ADVICE)[number];

const values = z.record(z.string(), z.union([z.string(), z.number()]));
export type ReachValues = z.infer<typeof values>;

export const reachRungSchema = z.object({
  way: z.enum(REACH_WAYS),
  family: z.enum(FAMILIES).nullable(),
  /** `bears`: dialled with success; `waits`: there, and not yet dialled. */
  state: z.enum(['bears', 'waits', 'trying', 'failed', 'skipped']),
  reason: z.enum(REACH_REASONS).nullable(),
  values,
  /** When this was found, ms ago; null: not tried. */
  ageMs: z.number().nullable(),
});
export type ReachRung = z.infer<typeof reachRungSchema>;

/** Why the CA gives no certificate: it wants fewer orders, it does not answer, or it says no. */
export const CERTIFICATE_PROBLEMS = ['rate_limited', 'ca_unreachable', 'ca_refused'] as const;

/** The fleet's trouble with getting a box's certificate. Newer fleets may know other codes. */
export const certificateProblemSchema = z.object({
  since: timeSchema,
  code: z.string().regex(/^[a-z_]{1,40}$/),
});
export type CertificateProblem = z.infer<typeof certificateProblemSchema>;

/** The certificate of the box's own name. */
export const certificateStateSchema = z.object({
  serverName: z.string(),
  /** `waiting`: there has been none yet. One that has expired is served all the same: it is better than none. */
  state: z.enum(['waiting', 'valid', 'expired']),
  expiresAt: timeSchema.nullable(),
  /** Null: it comes, or nobody has heard of any trouble. */
  problem: certificateProblemSchema.nullable(),
});
export type CertificateState = z.infer<typeof certificateStateSchema>;

/** `GET /api/doctor`, and part of what the household sees of its connection. */
export const boxReachSchema = z.object({
  /** `direct` and `relayed` are confirmed from outside; `unconfirmed`: there is an address, nobody has dialled it. */
  state: z.enum(['trying', 'direct', 'relayed', 'unconfirmed', 'unreachable']),
  way: z.enum(REACH_WAYS).nullable(),
  /** Addresses that were dialled with success, by family. */
  endpoints: z.array(
    z.object({ family: z.enum(FAMILIES), address: z.string(), port: z.int().min(1).max(65_535) }),
  ),
  /** The one reason a person should read first; null when it is reached directly. */
  reason: z.enum(REACH_REASONS).nullable(),
  values,
  ladder: z.array(reachRungSchema),
  advice: z.array(z.object({ code: z.enum(REACH_ADVICE), values })),
  /** Null: the box has no name of its own. */
  certificate: certificateStateSchema.nullable(),
});
export type BoxReach = z.infer<typeof boxReachSchema>;
/** What the ladder alone says. */
export type ReachReport = Omit<BoxReach, 'certificate'>;

/** An address the box asks the fleet to dial. */
export const dialTargetSchema = z.object({
  address: z.union([z.ipv4(), z.ipv6()]),
  port: z.int().min(1).max(65_535),
  /** By TLS, for the box's own name and with the certificate the fleet got for it. */
  secure: z.boolean().optional(),
});
export type DialTarget = z.infer<typeof dialTargetSchema>;
/** Addresses in one request: one or two of each family. */
export const DIALS_AT_ONCE = 4;
