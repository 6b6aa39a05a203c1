import { isIP } from 'node:net';
import os from 'node:os';
import path from 'node:path';
import * as z from 'zod';
import type { HouseholdSettings } from '#protocol/household.ts';
import { DEFAULT_HOUSEHOLD } from '#protocol/household.ts';
import { claimCodeSchema } from '#protocol/ids.ts';
import { CLIENT_LIMITS } from './serve/clients.ts';
import { MOST_WORKERS, workersFor } from './serve/workers/count.ts';

const port = (fallback: number) =>
  z.coerce.number('must be a number').int().min(0).max(65535).default(fallback);
const ms = (min: number, max: number, fallback: number) =>
  z.coerce.number('must be a number').int().min(min).max(max).default(fallback);
const httpUrl = z
  .url({ protocol: /^https?$/, error: 'must be a URL such as http://192.168.1.5:7090' })
  .max(300)
  .transform((url) => url.replace(/\/+$/, ''));
const folder = z
  .string()
  .min(1)
  .transform((name) => path.resolve(name));

const uplinkCap = z.coerce
  .number('must be a number')
  .int()
  .refine((rate) => rate === 0 || rate >= 8 * 1024, 'must be 0 (no bound) or at least 8192 bytes a second')
  .optional();

/** Beside the bundle (dist/agent), or where the sources' build puts it. */
function defaultWebui(): string {
  const bundled = !import.meta.url.endsWith('.ts');
  return path.resolve(import.meta.dirname, '..', bundled ? '' : 'dist', 'webui', 'box');
}

const perClient = z.coerce.number('must be a number').int().min(0).max(100_000);

/** Every option of the agent, from the environment. */
export const environmentSchema = z.object({
  /** Identity, keys and the password's hash. Internal flash: written only when one of them changes. */
  HEARTH_STATE_DIR: folder,
  /**
   * The folder the USB disk is mounted at; `auto`: the largest suitable disk, and always the same one afterwards;
   * unset: the one the household picks on the dashboard.
   */
  HEARTH_DISK: z
    .string()
    .transform((name) => (name === 'auto' ? ('auto' as const) : path.resolve(name)))
    .optional(),
  /** Take a folder of the system itself for the disk HEARTH_DISK names: for development. */
  HEARTH_DISK_ON_ROOT: z
    .enum(['yes', 'no'])
    .default('no')
    .transform((word) => word === 'yes'),
  HEARTH_BIND: z
    .string()
    .refine((address) => isIP(address) !== 0, 'must be an IP address')
    .default('0.0.0.0'),
  HEARTH_LAN_PORT: port(7070),
  HEARTH_CONTENT_PORT: port(7090),
  /** PEM files of the content port's certificate chain and key. With both, content is served over TLS as well. */
  HEARTH_TLS_CERT: folder.optional(),
  HEARTH_TLS_KEY: folder.optional(),
  /** Where, once there is a certificate: HTTP/1.1 and HTTP/2. */
  HEARTH_TLS_PORT: port(7443),
  /** What clients are sent to; default: bind address (or the first one found) and content port. */
  HEARTH_CONTENT_URL: httpUrl.optional(),
  /** Whether the router is asked for a port (PCP, NAT-PMP, UPnP), so that clients get through to this box. */
  HEARTH_PORT_MAPPING: z.enum(['on', 'off']).default('on'),
  /** How often a mapped port is checked. */
  HEARTH_PORT_CHECK_MS: ms(4_000, 3_600_000, 300_000),
  /** The fleet to pair with unless the household names another. */
  HEARTH_FLEET_URL: httpUrl.optional(),
  /** Pair with this by itself, if not paired. */
  HEARTH_CLAIM_CODE: claimCodeSchema.optional(),
  HEARTH_WEBUI_DIR: folder.default(defaultWebui()),
  HEARTH_LOG_LEVEL: z.enum(['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent']).default('info'),
  /** Until the fleet configures it. */
  HEARTH_HEARTBEAT_MS: ms(100, 3_600_000, 30_000),
  /** Least time between two batches of deliveries. */
  HEARTH_DELIVERY_FLUSH_MS: ms(50, 3_600_000, 5_000),
  /** Where deliveries wait to be settled: on the USB disk, or in the state directory (no disk writes at all). */
  HEARTH_DELIVERIES: z.enum(['disk', 'state']).default('disk'),
  /** First wait before a failed download is tried again; doubles up to an hour. */
  HEARTH_RETRY_MS: ms(100, 3_600_000, 30_000),
  /** How often the disk is looked at. */
  HEARTH_DISK_PROBE_MS: ms(100, 60_000, 3_000),
  /** Free space that is left to the disk's owner, bytes. */
  HEARTH_DISK_FLOOR_BYTES: z.coerce
    .number('must be a number')
    .int()
    .min(0)
    .default(16 * 1024 * 1024),
  /** Client connections served at once; an eighth more are sent back to the router, the rest closed. */
  HEARTH_MAX_CONNECTIONS: z.coerce.number('must be a number').int().min(1).max(100_000).default(1024),
  /** Processes that serve clients; 1: the agent itself alone; `auto`: as many as this machine has use for. */
  HEARTH_WORKERS: z
    .string()
    .regex(/^(auto|[1-9]\d?)$/, `must be a number from 1 to ${MOST_WORKERS}, or auto`)
    .transform((word) =>
      word === 'auto' ? workersFor(os.availableParallelism(), os.totalmem()) : Number(word),
    )
    .refine((count) => count <= MOST_WORKERS, `must be a number from 1 to ${MOST_WORKERS}, or auto`)
    .default(1),
  /** Connections of one client (IPv6: one /64); requests over more are answered 429. 0: no bound. */
  HEARTH_CLIENT_CONNECTIONS: perClient.default(CLIENT_LIMITS.connections),
  /** Requests of one client a second in the long run, ten times as many at once; more: 429. 0: no bound. */
  HEARTH_CLIENT_REQUESTS: perClient.default(CLIENT_LIMITS.requestsPerSecond),
  /** The root of trust for updates that came with the package; without one no update is taken. */
  HEARTH_UPDATE_ROOT: folder.optional(),
  /** How long a new version may take to prove itself before the box goes back. */
  HEARTH_UPDATE_DEADLINE_MS: ms(10_000, 3_600_000, 240_000),
  /** How long running responses may take to end at SIGTERM. */
  HEARTH_DRAIN_MS: ms(0, 600_000, 10_000),
  /** Upper bound of the integrity self-check's reading, bytes per second. */
  HEARTH_CHECK_BYTES_PER_SECOND: z.coerce.number('must be a number').int().min(65_536).default(20_000_000),
  /** Everything held is read and verified again within so many days. */
  HEARTH_SCRUB_DAYS: z.coerce.number('must be a number').min(1).max(365).default(30),
  /** Connections to one origin (name and port), over all downloads. */
  HEARTH_ORIGIN_CONNECTIONS: z.coerce.number('must be a number').int().min(1).max(64).default(6),
  /** What may be sent and fetched until the household says otherwise; 0: no bound. Unset: cautious defaults. */
  HEARTH_UP_BYTES_PER_SECOND: uplinkCap,
  HEARTH_DOWN_BYTES_PER_SECOND: uplinkCap,
  /** In a calendar month, both ways together; 0: no bound. */
  HEARTH_MONTHLY_BYTES: z.coerce.number('must be a number').int().min(0).optional(),
});

export interface Options {
  stateDir: string;
  diskPath: string | null;
  diskOnRoot: boolean;
  bind: string;
  lanPort: number;
  contentPort: number;
  /** Null: no files; a certificate may come otherwise. */
  tlsFiles: { cert: string; key: string } | null;
  tlsPort: number;
  contentUrl: string | null;
  portMapping: boolean;
  portCheckMs: number;
  fleetUrl: string | null;
  claimCode: string | null;
  webuiDir: string;
  logLevel: string;
  heartbeatMs: number;
  deliveryFlushMs: number;
  deliveriesOn: 'disk' | 'state';
  retryMs: number;
  diskProbeMs: number;
  diskFloorBytes: number;
  maxConnections: number;
  /** 1: no process beside this one. */
  workers: number;
  clientConnections: number;
  clientRequestsPerSecond: number;
  drainMs: number;
  updateRoot: string | null;
  updateDeadlineMs: number;
  checkBytesPerSecond: number;
  scrubPeriodMs: number;
  originConnections: number;
  /** What holds until the household decides. */
  household: HouseholdSettings;
}

/**
 * Reads the options. An empty variable counts as absent.
 * @returns the options, or one line for each fault, naming the variable
 */
export function readOptions(environment: NodeJS.ProcessEnv): { options: Options } | { faults: string[] } {
  const given = Object.fromEntries(
    Object.entries(environment).filter(([name, value]) => name.startsWith('HEARTH_') && value !== ''),
  );
  const checked = environmentSchema.safeParse(given);
  if (!checked.success) {
    return {
      faults: checked.error.issues.map((issue) => {
        const name = issue.path.join('.');
        return given[name] === undefined ? `${name} must be set` : `${name}: ${issue.message}`;
      }),
    };
  }
  const env = checked.data;
  const { HEARTH_TLS_CERT: cert, HEARTH_TLS_KEY: key } = env;
  if ((cert === undefined) !== (key === undefined)) {
    const [missing, other] = cert === undefined ? ['CERT', 'KEY'] : ['KEY', 'CERT'];
    return { faults: [`HEARTH_TLS_${missing} must be set, since HEARTH_TLS_${other} is`] };
  }
  return {
    options: {
      stateDir: env.HEARTH_STATE_DIR,
      diskPath: env.HEARTH_DISK ?? null,
      diskOnRoot: env.HEARTH_DISK_ON_ROOT,
      bind: env.HEARTH_BIND,
      lanPort: env.HEARTH_LAN_PORT,
      contentPort: env.HEARTH_CONTENT_PORT,
      tlsFiles: cert !== undefined && key !== undefined ? { cert, key } : null,
      tlsPort: env.HEARTH_TLS_PORT,
      contentUrl: env.HEARTH_CONTENT_URL ?? null,
      portMapping: env.HEARTH_PORT_MAPPING === 'on',
      portCheckMs: env.HEARTH_PORT_CHECK_MS,
      fleetUrl: env.HEARTH_FLEET_URL ?? null,
      claimCode: env.HEARTH_CLAIM_CODE ?? null,
      webuiDir: env.HEARTH_WEBUI_DIR,
      logLevel: env.HEARTH_LOG_LEVEL,
      heartbeatMs: env.HEARTH_HEARTBEAT_MS,
      deliveryFlushMs: env.HEARTH_DELIVERY_FLUSH_MS,
      deliveriesOn: env.HEARTH_DELIVERIES,
      retryMs: env.HEARTH_RETRY_MS,
      diskProbeMs: env.HEARTH_DISK_PROBE_MS,
      diskFloorBytes: env.HEARTH_DISK_FLOOR_BYTES,
      maxConnections: env.HEARTH_MAX_CONNECTIONS,
      workers: env.HEARTH_WORKERS,
      clientConnections: env.HEARTH_CLIENT_CONNECTIONS,
      clientRequestsPerSecond: env.HEARTH_CLIENT_REQUESTS,
      drainMs: env.HEARTH_DRAIN_MS,
      updateRoot: env.HEARTH_UPDATE_ROOT ?? null,
      updateDeadlineMs: env.HEARTH_UPDATE_DEADLINE_MS,
      checkBytesPerSecond: env.HEARTH_CHECK_BYTES_PER_SECOND,
      scrubPeriodMs: env.HEARTH_SCRUB_DAYS * 86_400_000,
      originConnections: env.HEARTH_ORIGIN_CONNECTIONS,
      household: householdOf(env),
    },
  };
}

function householdOf(env: z.infer<typeof environmentSchema>): HouseholdSettings {
  const { uplink } = DEFAULT_HOUSEHOLD;
  const or = (given: number | undefined, fallback: number | null) =>
    given === 0 ? null : (given ?? fallback);
  return {
    ...DEFAULT_HOUSEHOLD,
    uplink: {
      ...uplink,
      upBytesPerSecond: or(env.HEARTH_UP_BYTES_PER_SECOND, uplink.upBytesPerSecond),
      downBytesPerSecond: or(env.HEARTH_DOWN_BYTES_PER_SECOND, uplink.downBytesPerSecond),
      monthlyBytes: or(env.HEARTH_MONTHLY_BYTES, uplink.monthlyBytes),
    },
  };
}

/** A URL for what listens on `bind`: for a wildcard the first address that others can reach. */
export function urlOf(bind: string, portNumber: number): string {
  let host = bind;
  if (bind === '0.0.0.0' || bind === '::') {
    const addresses = Object.values(os.networkInterfaces()).flatMap((list) => list ?? []);
    host = addresses.find((found) => found.family === 'IPv4' && !found.internal)?.address ?? '127.0.0.1';
  }
  return `http://${host.includes(':') ? `[${host}]` : host}:${portNumber}`;
}
