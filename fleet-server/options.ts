import { isIP } from 'node:net';
import { z } from 'zod';
import { describe, relayUrlSchema } from '#protocol/messages.ts';

export const ROLES = ['api', 'broker', 'worker', 'router', 'relay', 'dns'] as const;
export type Role = (typeof ROLES)[number];

const port = (standard: number) =>
  z.coerce.number('must be a number').int().min(0).max(65535).default(standard);
const addressList = z
  .string()
  .transform((text) => text.split(',').map((one) => one.trim()))
  .pipe(z.array(z.union([z.ipv4(), z.ipv6()], 'must be IP addresses')).min(1));
/** `name` or `name=address`, with several addresses joined by `+`. */
const nameServer = z.string().transform((text, context) => {
  const [name = '', list = ''] = text.trim().toLowerCase().split('=');
  const addresses = list.split('+').filter(Boolean);
  if (!/^([a-z0-9-]{1,63}\.)+[a-z]{2,63}$/.test(name) || addresses.some((one) => isIP(one) === 0)) {
    context.addIssue({ code: 'custom', message: 'must be a server such as ns1.example.org=192.0.2.1' });
    return z.NEVER;
  }
  const ofFamily = (family: number) => addresses.filter((one) => isIP(one) === family);
  return { name, a: ofFamily(4), aaaa: ofFamily(6) };
});
/** 0 is no bound. */
const bytesPerSecond = z.coerce
  .number('must be a number')
  .int()
  .min(0)
  .max(1e12)
  .default(0)
  .transform((rate) => (rate === 0 ? null : rate));
const httpUrl = z.url({ protocol: /^https?$/ }).transform((url) => url.replace(/\/+$/, ''));

/**
 * The fleet-server's options: environment variables, one schema. Ports of 0 take any free one.
 * URLs are what boxes, clients and people are told; they default to the bind address and port.
 */
const optionsSchema = z.object({
  DATABASE_URL: z.url({ protocol: /^postgres(ql)?$/, error: 'must be a postgres:// URL' }),
  HEARTH_ROLES: z
    .string()
    .default(ROLES.join(','))
    .transform((list) => list.split(',').map((role) => role.trim()))
    .pipe(z.array(z.enum(ROLES)).min(1)),
  HEARTH_BIND: z.union([z.ipv4(), z.ipv6()]).default('127.0.0.1'),
  HEARTH_API_PORT: port(7080),
  HEARTH_ROUTER_PORT: port(7081),
  HEARTH_BROKER_PORT: port(8883),
  /** Where boxes dial the relay, and where clients reach them through it. */
  HEARTH_RELAY_TUNNEL_PORT: port(7443),
  HEARTH_RELAY_PORT: port(7082),
  /** Where clients' own TLS is carried to boxes, by server name. */
  HEARTH_RELAY_TLS_PORT: port(7444),
  /** The port of that in clients' URLs, where it is another: a box asks its router for the same. */
  HEARTH_BOX_TLS_PORT: z.coerce.number('must be a number').int().min(1).max(65535).optional(),
  HEARTH_API_URL: httpUrl.optional(),
  HEARTH_ROUTER_URL: httpUrl.optional(),
  HEARTH_BROKER_URL: z.url({ protocol: /^mqtts$/ }).optional(),
  HEARTH_RELAY_TUNNEL_URL: relayUrlSchema.optional(),
  HEARTH_RELAY_URL: httpUrl.optional(),
  /** PEM files of the relay's own certificate: with them dashboards are carried to who is away from home. */
  HEARTH_RELAY_CERT: z.string().min(1).optional(),
  HEARTH_RELAY_KEY: z.string().min(1).optional(),
  /** The relay's own name in the fleet's zone, `relay1.boxes.example.org`: the fleet gets its certificate. */
  HEARTH_RELAY_NAME: z.string().max(253).optional(),
  /** Boxes are `<label>.<this domain>`; without it their clients' TLS is not carried. */
  HEARTH_BOX_DOMAIN: z
    .string()
    .regex(
      /^([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z]{2,63}$/,
      'must be a domain such as boxes.example.org',
    )
    .optional(),
  /** Addresses of this relay, `192.0.2.1,2001:db8::1`: what the boxes' names resolve to. */
  HEARTH_RELAY_ADDRESSES: addressList.optional(),
  /** Where the zone of HEARTH_BOX_DOMAIN is answered, UDP and TCP. */
  HEARTH_DNS_PORT: port(7053),
  /** The zone's servers, `ns1.boxes.example.org=192.0.2.1,ns2.example.org`. */
  HEARTH_DNS_SERVERS: z
    .string()
    .default('')
    .transform((text) => text.split(',').filter(Boolean))
    .pipe(z.array(nameServer)),
  /** The CA boxes' certificates come from; without it they have none. */
  HEARTH_ACME_DIRECTORY: z.url({ protocol: /^https$/, error: 'must be an https:// URL' }).optional(),
  HEARTH_ACME_CONTACT: z.email().optional(),
  /** A PEM file with the CA of the ACME server itself, where that is none of the public ones. */
  HEARTH_ACME_CA_FILE: z.string().min(1).optional(),
  /** What CAA names as the one who may issue. */
  HEARTH_ACME_ISSUER: z.string().min(1).default('letsencrypt.org'),
  /** Certificates at most in any three hours. */
  HEARTH_ACME_PER_3_HOURS: z.coerce.number('must be a number').int().min(1).default(200),
  /** How long streams through the relay may take to end when it stops. */
  HEARTH_RELAY_DRAIN_MS: z.coerce.number('must be a number').int().min(0).max(600_000).default(5_000),
  /** What a relay carries at most, bytes a second, to clients and from them; 0: as much as it can. */
  HEARTH_RELAY_BYTES_PER_SECOND: bytesPerSecond,
  /** The same for each box. */
  HEARTH_RELAY_BOX_BYTES_PER_SECOND: bytesPerSecond,
  /**
   * Whether boxes are dialled at loopback and private addresses too, and sites may have origins there. Only where fleet
   * and boxes stand in one network: on the internet a box could have the fleet ask its own neighbours.
   */
  HEARTH_DIAL_PRIVATE: z.enum(['on', 'off']).default('off'),
  /** Where boxes fetch executables, by their SHA-256, if not from this API: a CDN in front of it, say. */
  HEARTH_ARTEFACTS_URL: httpUrl.optional(),
  HEARTH_KEYS_DIR: z.string().min(1),
  HEARTH_WEBUI_DIR: z.string().min(1).optional(),
  HEARTH_HEARTBEAT_MS: z.coerce.number('must be a number').int().min(100).max(3_600_000).default(30_000),
  /** How long a client's link to a box lives. */
  HEARTH_TOKEN_TTL_MS: z.coerce
    .number('must be a number')
    .int()
    .min(1000)
    .max(86_400_000)
    .default(6 * 3_600_000),
  /** What a tenant pays for 10^9 bytes, in micro-credits, and the box's part of it in percent. */
  HEARTH_PRICE_PER_GB: z.coerce
    .bigint()
    .min(0n)
    .max(10n ** 15n)
    .default(10_000_000n),
  HEARTH_BOX_SHARE_PERCENT: z.coerce.bigint().min(0n).max(100n).default(80n),
  /** Spot checks a box gets per hour, on average; 0 for none. */
  HEARTH_SPOT_CHECKS_PER_HOUR: z.coerce.number('must be a number').min(0).max(3600).default(4),
  HEARTH_ADMIN_PASSWORD: z.string().min(10, 'at least 10 characters').max(200).optional(),
  HEARTH_ADMIN_TOKEN: z.string().min(20, 'at least 20 characters').max(200).optional(),
  HEARTH_LOG_LEVEL: z.enum(['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent']).default('info'),
});
export type Options = z.infer<typeof optionsSchema>;

/**
 * Reads the options. Empty variables count as unset.
 * @returns the options, or one line for each fault, naming the variable
 */
export function readOptions(env: NodeJS.ProcessEnv): { options: Options } | { faults: string[] } {
  const set = Object.fromEntries(Object.entries(env).filter(([, value]) => value !== ''));
  const read = optionsSchema.safeParse(set);
  if (read.success) return { options: read.data };
  const faults = read.error.issues.map((issue) => {
    const name = String(issue.path[0]);
    const said = set[name] === undefined ? 'is required' : issue.message;
    return `${name}: ${said}`;
  });
  return { faults: faults.length > 0 ? faults : [describe(read.error)] };
}
