import * as z from 'zod';
import {
  assetPathSchema,
  contentHeadersSchema,
  pathPrefixSchema,
  sha256Schema,
  timeSchema,
} from './asset.ts';
import { awaySessionSchema } from './away.ts';
import {
  assetIdSchema,
  assignmentIdSchema,
  boxIdSchema,
  claimCodeSchema,
  siteIdSchema,
  tenantIdSchema,
} from './ids.ts';
import { LIMITS } from './limits.ts';
import {
  assetStateSchema,
  earningsSchema,
  hardwareSchema,
  heartbeatSchema,
  microCreditsSchema,
  textSchema,
} from './messages.ts';
import { CERTIFICATE_PROBLEMS } from './reach.ts';
import { NO_UPDATES } from './rollout.ts';

/** Bodies of the fleet's HTTP API, `/api/v1`. Responses are what the console and the CLI read. */

const count = z.int().min(0);
/** A box or site's name for people: printable, at most 80 characters. */
export const labelSchema = z
  .string()
  .trim()
  .min(1)
  .max(80)
  .regex(/^[^\p{Cc}]+$/u, 'must be printable');

export const errorBodySchema = z.object({
  error: z.object({ code: z.string(), message: z.string() }),
});

// ------------------------------------------------------------------------------------------------- enrolment

/** `POST /enrol`, by a box, authenticated by the claim code alone. */
export const enrolRequestSchema = z.object({
  claimCode: claimCodeSchema,
  /** PKCS#10, PEM; ECDSA P-256. Its subject is ignored: the fleet chooses the box's id. */
  csr: z.string().max(4096),
  agentVersion: textSchema,
});
export const enrolResponseSchema = z.object({
  boxId: boxIdSchema,
  label: z.string(),
  /** The box's client certificate and the fleet's CA, PEM. */
  certificate: z.string(),
  caCertificate: z.string(),
  /** `mqtts://host:port` of the broker this box is to use. */
  brokerUrl: z.string(),
  /** Ed25519 public key that signs commands, SPKI PEM. */
  commandKey: z.string(),
});
export type EnrolResponse = z.infer<typeof enrolResponseSchema>;

export const createClaimSchema = z.object({ label: labelSchema.optional() });
export const claimSchema = z.object({
  code: z.string(),
  label: z.string().nullable(),
  expiresAt: timeSchema,
});

// ------------------------------------------------------------------------------------------------- operators

export const loginSchema = z.object({ username: z.string().max(80), password: z.string().max(200) });
export const sessionSchema = z.object({ username: z.string() });
export const createTokenSchema = z.object({ name: labelSchema });
export const apiTokenSchema = z.object({
  id: z.string(),
  name: z.string(),
  createdAt: timeSchema,
  lastUsedAt: timeSchema.nullable(),
});
/** The secret is shown once. */
export const createdTokenSchema = apiTokenSchema.extend({ secret: z.string() });

// ----------------------------------------------------------------------------------------------------- boxes

export const BOX_STATES = ['online', 'offline', 'never_seen'] as const;

export const boxSchema = z.object({
  id: boxIdSchema,
  label: z.string(),
  state: z.enum(BOX_STATES),
  /** Whether the router may send clients here, and if not why, in a word. */
  routable: z.boolean(),
  notRoutableReason: z.string().nullable(),
  /** How clients reach it: where it says it serves, or through a relay; null when they do not. */
  reachedBy: z.enum(['direct', 'relay']).nullable(),
  agentVersion: z.string().nullable(),
  enrolledAt: timeSchema,
  lastSeenAt: timeSchema.nullable(),
  heartbeat: heartbeatSchema.nullable(),
  /** Placements on this box, by state. */
  held: count,
  pending: count,
  failed: count,
  /** Messages from this box that were refused. */
  refusedMessages: count,
  /** Final micro-credits. */
  earned: microCreditsSchema,
});
export type Box = z.infer<typeof boxSchema>;

export const placementSchema = z.object({
  assignmentId: assignmentIdSchema,
  assetId: assetIdSchema,
  boxId: boxIdSchema,
  boxLabel: z.string(),
  path: z.string(),
  siteHostname: z.string(),
  sizeBytes: count,
  /** What the fleet wants: the asset held, or gone. */
  desired: z.enum(['held', 'absent']),
  /** What the box last said; null before it said anything. */
  reported: assetStateSchema.nullable(),
  bytesDone: count,
  reason: z.object({ code: z.string(), message: z.string() }).nullable(),
  expiresAt: timeSchema.nullable(),
  updatedAt: timeSchema,
});
export type Placement = z.infer<typeof placementSchema>;

export const boxDetailSchema = boxSchema.extend({
  /** The certificate of its own name; null: it has never asked for one. */
  certificate: z
    .object({
      /** Of the one that is there; null: there has been none. */
      expiresAt: timeSchema.nullable(),
      /** Since when the CA has given none; null: it did when it was last asked. */
      failingSince: timeSchema.nullable(),
      problemCode: z.enum(CERTIFICATE_PROBLEMS).nullable(),
      /** The CA's own words. */
      problem: z.string().nullable(),
    })
    .nullable(),
  /** Whether its household has its dashboard opened from away, and who is in there now, newest first. */
  away: z.object({
    on: z.boolean(),
    sessions: z.array(awaySessionSchema.extend({ seenAt: timeSchema, idleEndsAt: timeSchema })),
  }),
  /** Why rollouts leave it out; null: they do not. */
  noUpdates: z.enum(NO_UPDATES).nullable(),
  hardware: hardwareSchema.nullable(),
  placements: z.array(placementSchema),
  commands: z.array(
    z.object({
      id: z.string(),
      type: z.string(),
      state: z.enum(['pending', 'sent', 'done', 'refused', 'void']),
      attempts: count,
      createdAt: timeSchema,
      endedAt: timeSchema.nullable(),
      /** The reply's result or error, where there is one. */
      detail: z.string().nullable(),
    }),
  ),
  spotChecks: z.array(
    z.object({
      at: timeSchema,
      sha256: sha256Schema,
      chunkIndex: count,
      outcome: z.enum(['waiting', 'passed', 'failed', 'late']),
    }),
  ),
  integrity: z
    .object({
      at: timeSchema,
      finished: z.boolean(),
      checkedChunks: count,
      totalChunks: count,
      damagedChunks: count,
    })
    .nullable(),
  earnings: earningsSchema,
});
export type BoxDetail = z.infer<typeof boxDetailSchema>;

export const renameBoxSchema = z.object({ label: labelSchema });
/** `POST /boxes/:id/commands`: operations an operator may ask for by hand. */
export const boxCommandSchema = z.discriminatedUnion('type', [
  z.object({ type: z.literal('hardware') }),
  z.object({ type: z.literal('index') }),
  z.object({ type: z.literal('get'), sha256: sha256Schema }),
  z.object({ type: z.literal('spot-check'), sha256: sha256Schema.optional() }),
]);

// ------------------------------------------------------------------------------------------ sites and assets

/** A DNS name, lower case, as it stands in Host. */
export const hostnameSchema = z
  .string()
  .toLowerCase()
  .max(253)
  .regex(
    /^(?=.{1,253}$)([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)*$/,
    'must be a host name such as video.example.com',
  );
/**
 * An origin: scheme, host, optional base path; no query, fragment or credentials. Kept as the URL standard writes it,
 * percent-encoded and in ASCII, since paths are appended to it and it stands in Location.
 */
export const originSchema = z
  .url({ protocol: /^https?$/, abort: true })
  .refine((value) => {
    const url = new URL(value);
    return !/[?#]/.test(value) && url.username === '' && url.password === '';
  }, 'must be scheme, host and path only')
  .transform((value) => new URL(value).href.replace(/\/+$/, ''))
  .pipe(z.string().max(1024));

export const createSiteSchema = z.object({
  hostname: hostnameSchema,
  origin: originSchema,
  tenantName: labelSchema.optional(),
});
export const siteSchema = z.object({
  id: siteIdSchema,
  hostname: z.string(),
  origin: z.string(),
  tenantId: tenantIdSchema,
  tenantName: z.string(),
  createdAt: timeSchema,
  /** Where a client asks for this site's assets on this fleet. */
  url: z.string(),
  assets: count,
  /** Bytes settled for this site, and what its tenant owes for them. */
  deliveredBytes: count,
  charged: microCreditsSchema,
});
export type Site = z.infer<typeof siteSchema>;

export const INGEST_STATES = ['queued', 'reading', 'ready', 'failed', 'purged'] as const;
export const createAssetsSchema = z.object({
  siteId: siteIdSchema,
  paths: z.array(assetPathSchema).min(1).max(LIMITS.assetsPerRequest),
});
export const assetSchema = z.object({
  id: assetIdSchema,
  siteId: siteIdSchema,
  siteHostname: z.string(),
  path: z.string(),
  state: z.enum(INGEST_STATES),
  error: z.object({ code: z.string(), message: z.string() }).nullable(),
  sizeBytes: count.nullable(),
  sha256: sha256Schema.nullable(),
  chunkSizeBytes: count.nullable(),
  chunks: count.nullable(),
  headers: contentHeadersSchema.nullable(),
  createdAt: timeSchema,
  ingestedAt: timeSchema.nullable(),
  /** Boxes that should hold it, and that do. */
  wanted: count,
  held: count,
});
export type Asset = z.infer<typeof assetSchema>;

// ----------------------------------------------------------------------------------------------- assignments

/** Which assets: by id, or all ready ones of a site below a prefix. */
export const assetSelectorSchema = z.union([
  z.object({ assetIds: z.array(assetIdSchema).min(1).max(LIMITS.assetsPerRequest) }),
  z.object({ siteId: siteIdSchema, prefix: pathPrefixSchema.default('/') }),
]);
/** Which boxes: by id, or the fleet chooses `count` of those online with most room. */
export const boxSelectorSchema = z.union([
  z.object({ boxIds: z.array(boxIdSchema).min(1).max(1000) }),
  z.object({ count: z.int().min(1).max(1000) }),
]);
export const createAssignmentsSchema = z.object({
  assets: assetSelectorSchema,
  boxes: boxSelectorSchema,
  /** How long boxes keep it, from now; null until unassigned. */
  ttlMs: z
    .int()
    .min(1000)
    .max(10 * 365 * 86_400_000)
    .nullable()
    .default(null),
  /** Boxes never evict it, however little it is asked for. */
  pinned: z.boolean().default(false),
});
export const assignmentSchema = z.object({
  id: assignmentIdSchema,
  assetId: assetIdSchema,
  path: z.string(),
  siteHostname: z.string(),
  createdAt: timeSchema,
  expiresAt: timeSchema.nullable(),
  endedAt: timeSchema.nullable(),
  /** True when every box reports what is wanted of it. */
  converged: z.boolean(),
  placements: z.array(placementSchema),
});
export type Assignment = z.infer<typeof assignmentSchema>;
/** `POST /unassign`: from these boxes, or from all. */
export const unassignSchema = z.object({
  assets: assetSelectorSchema,
  boxIds: z.array(boxIdSchema).min(1).max(1000).optional(),
});
export const changedSchema = z.object({ changed: count });
/** `POST /purge`: unassign everywhere, and route to the origin from now on. */
export const purgeSchema = z.object({ assets: assetSelectorSchema });

// ---------------------------------------------------------------------------------------------------- ledger

export const ACCOUNT_KINDS = ['tenant', 'box', 'fleet'] as const;
export const accountSchema = z.object({
  id: z.string(),
  kind: z.enum(ACCOUNT_KINDS),
  name: z.string(),
  balance: microCreditsSchema,
});
export const transferSchema = z.object({
  id: z.string(),
  kind: z.string(),
  createdAt: timeSchema,
  memo: z.string(),
  entries: z.array(z.object({ accountId: z.string(), accountName: z.string(), amount: microCreditsSchema })),
});
export type Account = z.infer<typeof accountSchema>;
export type Transfer = z.infer<typeof transferSchema>;

/** A list with a cursor: pass `next` as `?after=` for the following page. */
export const pageOf = <T extends z.ZodType>(item: T) =>
  z.object({ items: z.array(item), next: z.string().nullable() });
export const pageQuerySchema = z.object({
  after: z.string().max(100).optional(),
  limit: z.coerce.number().int().min(1).max(LIMITS.pageRows).default(LIMITS.pageRows),
});

/** `GET /overview`: the console's first page. */
export const overviewSchema = z.object({
  boxes: z.object({ online: count, total: count }),
  assets: z.object({ ready: count, total: count }),
  placements: z.object({ held: count, wanted: count }),
  /** By all routers, since the fleet began; a few seconds late. */
  redirects: z.object({ toBoxes: count, toOrigin: count }),
  deliveredBytes: count,
  credited: microCreditsSchema,
});
