import * as z from 'zod';
import { assetManifestSchema, sha256Schema, timeSchema } from './asset.ts';
import { awayEndSchema, awaySessionsSchema } from './away.ts';
import { HearthError } from './errors.ts';
import { evictionsSchema, evictionsVerdictSchema } from './evictions.ts';
import { assetIdSchema, boxIdSchema, commandIdSchema, deliveryBatchIdSchema, siteIdSchema } from './ids.ts';
import { LIMITS } from './limits.ts';
import { certificateProblemSchema, DIAL_CODES, DIALS_AT_ONCE, dialTargetSchema } from './reach.ts';
import { updateOrderSchema, updateReportSchema } from './release.ts';

/** The version in every message and topic. A change that an old peer would misread gets a new number. */
export const PROTOCOL_VERSION = 1;

/** Free text from a machine. Postgres can store neither NUL nor half a surrogate pair, so neither can be sent. */
export const textSchema = z
  .string()
  .max(LIMITS.textChars)
  .refine(
    (value) => !value.includes('\0') && value.isWellFormed(),
    'must be well-formed Unicode without NUL',
  );
const text = textSchema;
const count = z.int().min(0);
const bytes = z.int().min(0);
const base = { v: z.literal(PROTOCOL_VERSION), at: timeSchema };

/** A micro-credit amount: a whole number as a decimal string, since JSON numbers lose it past 2^53. */
export const microCreditsSchema = z.string().regex(/^-?\d{1,30}$/);

// ---------------------------------------------------------------------------------------------- box to fleet

/**
 * Where a box serves. Paths are appended to it as it is, it stands in Location and the fleet dials it: visible ASCII,
 * and neither query, fragment nor credentials.
 */
export const contentUrlSchema = z
  .url({ protocol: /^https?$/ })
  .max(300)
  .regex(/^https?:\/\/[^/@?#\\]+(\/[^?#\\]*)?$/i, 'must be scheme, host and path only')
  .regex(/^[\x21-\x7e]+$/, 'must be visible ASCII');

/** First message on every connection; the fleet answers with a `configure` command and asks for the index. */
export const helloSchema = z.object({ ...base, bootId: z.uuid(), agentVersion: text });

/** The last will, published by the broker when the connection drops without a goodbye. */
export const offlineSchema = z.object({ v: z.literal(PROTOCOL_VERSION), bootId: z.uuid() });

export const DISK_STATES = ['ok', 'absent', 'foreign', 'read_only', 'full', 'failing', 'slow'] as const;
export const diskStateSchema = z.enum(DISK_STATES);
export type DiskState = z.infer<typeof diskStateSchema>;

/** Operation heartbeat: every 30 s unless configured otherwise. Rates are since the previous heartbeat. */
export const heartbeatSchema = z.object({
  ...base,
  bootId: z.uuid(),
  uptimeMs: count,
  /** Where this box serves content, as far as it knows; the fleet checks before it believes. */
  contentUrl: contentUrlSchema,
  /** The same over TLS, by address: `https://192.0.2.1:7444`. Clients are sent there by the box's name. */
  secureUrl: contentUrlSchema.nullish(),
  /** Where boxes of the same network find it, if that is elsewhere. */
  lanUrl: contentUrlSchema.nullish(),
  /** The household has its dashboard opened from away by who knows the key of this hash; absent: nobody may. */
  away: z.object({ keySha256: sha256Schema }).nullish(),
  serving: z.object({ connections: count, bytesPerSecond: z.number().min(0), bytesTotal: bytes }),
  store: z.object({
    state: diskStateSchema,
    totalBytes: bytes,
    freeBytes: bytes,
    /** What the box may still write, with the household's quota and floor; unknown to older agents. */
    roomBytes: bytes.optional(),
    usedBytes: bytes,
    objects: count,
  }),
  rssBytes: bytes,
  /** One-minute load average, 0 where the system has none. */
  load: z.number().min(0),
  /** Messages from the fleet this box refused since it started. */
  refusedMessages: count,
});
export type Heartbeat = z.infer<typeof heartbeatSchema>;

/** Operation hardware configuration: after hello, on change, and when asked. */
export const hardwareSchema = z.object({
  ...base,
  machine: z.object({ manufacturer: text, model: text, os: text, kernel: text, arch: text }),
  cpu: z.object({ model: text, cores: count, speedMhz: z.number().min(0) }),
  memoryBytes: bytes,
  disks: z
    .array(
      z.object({
        name: text,
        mount: text,
        filesystem: text,
        label: text,
        removable: z.boolean(),
        totalBytes: bytes,
        freeBytes: bytes,
        /** True for the disk Hearth uses. */
        chosen: z.boolean(),
      }),
    )
    .max(LIMITS.hardwareItems),
  network: z
    .array(z.object({ name: text, type: text, speedMbps: z.number().min(0).nullable() }))
    .max(LIMITS.hardwareItems),
});
export type Hardware = z.infer<typeof hardwareSchema>;

export const ASSET_STATES = ['queued', 'downloading', 'held', 'failed', 'deleted', 'expired'] as const;
export const assetStateSchema = z.enum(ASSET_STATES);
export type AssetState = z.infer<typeof assetStateSchema>;

const assetReport = z.object({
  assetId: assetIdSchema,
  sha256: sha256Schema,
  state: assetStateSchema,
  bytesDone: bytes,
  /** Why it failed, or why it is being fetched again. */
  reason: z.object({ code: text, message: text }).nullable(),
});
export type AssetReport = z.infer<typeof assetReport>;

/** What changed in what the box holds, as it changes. */
export const reportSchema = z.object({ ...base, assets: z.array(assetReport).max(LIMITS.assetsPerReport) });

/**
 * Operation index of local cached files: the whole truth, in pages of one `indexId`; after hello and when
 * asked. The fleet applies it only when all pages have come, and then takes what is not in it as not there.
 */
export const indexSchema = z.object({
  ...base,
  indexId: z.uuid(),
  page: z
    .int()
    .min(0)
    .max(LIMITS.indexPages - 1),
  pages: z.int().min(1).max(LIMITS.indexPages),
  assets: z.array(assetReport).max(LIMITS.indexEntriesPerPage),
});

/** Progress and findings of the integrity self-check. */
export const integritySchema = z.object({
  ...base,
  finished: z.boolean(),
  checkedChunks: count,
  totalChunks: count,
  damaged: z.array(z.object({ sha256: sha256Schema, chunkIndex: count })).max(LIMITS.damagedChunksPerReport),
});

/** One line of a deliveries batch: what was served under one token since the last batch. */
export const deliverySchema = z.object({
  /** The token as the router made it: the proof that the fleet issued this entitlement. */
  token: z.string().max(200),
  siteId: siteIdSchema,
  /** The path prefix the token was made for. */
  prefix: z.string().max(LIMITS.pathBytes),
  assetId: assetIdSchema,
  bytes,
  requests: z.int().min(0).max(LIMITS.requestsPerDelivery),
});
export type Delivery = z.infer<typeof deliverySchema>;

/** Sent again, byte for byte, until the fleet answers with `deliveries-ack`. */
export const deliveriesSchema = z.object({
  ...base,
  batchId: deliveryBatchIdSchema,
  lines: z.array(deliverySchema).min(1).max(LIMITS.deliveriesPerBatch),
});
export type Deliveries = z.infer<typeof deliveriesSchema>;

/** Result of operation get file: what the box knows of the object and the path it serves it under. */
export const getResultSchema = z.object({
  type: z.literal('get'),
  sha256: sha256Schema,
  sizeBytes: bytes,
  state: assetStateSchema,
  bytesDone: bytes,
  verifiedAt: timeSchema.nullable(),
  assets: z.array(z.object({ assetId: assetIdSchema, siteId: siteIdSchema, path: text })).max(100),
});

/** Result of operation spot check: the SHA-256 of nonce || chunk bytes, read from the disk for this answer. */
export const spotCheckResultSchema = z.object({
  type: z.literal('spot-check'),
  sha256: sha256Schema,
  chunkIndex: count,
  proof: sha256Schema,
});

/** "Who else holds these?", before the box fetches them; answered by `sources`, or not at all. */
export const sourcesWantedSchema = z.object({
  ...base,
  sha256s: z.array(sha256Schema).min(1).max(LIMITS.sourcesWanted),
});

/** The answer to a command: done, or refused with a reason. */
export const replySchema = z.object({
  ...base,
  commandId: commandIdSchema,
  outcome: z.discriminatedUnion('ok', [
    z.object({
      ok: z.literal(true),
      result: z.discriminatedUnion('type', [getResultSchema, spotCheckResultSchema]).nullable(),
    }),
    z.object({ ok: z.literal(false), error: z.object({ code: text, message: text }) }),
  ]),
});
export type Reply = z.infer<typeof replySchema>;

/** A request for a certificate for the box's own name, after `configure` told that name; sent again until it comes. */
export const certificateRequestSchema = z.object({ ...base, csr: z.string().max(LIMITS.csrChars) });

/** "Can I be reached there?" Answered by `dialled`, once the fleet has tried; within limits, or not at all. */
export const dialWantedSchema = z.object({
  ...base,
  targets: z.array(dialTargetSchema).min(1).max(DIALS_AT_ONCE),
});

/** How a box that can be updated stands with updates: after hello, and on each change. */
export const updateSchema = z.object({ ...base, ...updateReportSchema.shape });

const UP = {
  hello: helloSchema,
  offline: offlineSchema,
  heartbeat: heartbeatSchema,
  hardware: hardwareSchema,
  report: reportSchema,
  index: indexSchema,
  integrity: integritySchema,
  deliveries: deliveriesSchema,
  reply: replySchema,
  'sources-wanted': sourcesWantedSchema,
  evictions: evictionsSchema,
  'away-end': awayEndSchema,
  'dial-wanted': dialWantedSchema,
  'certificate-request': certificateRequestSchema,
  update: updateSchema,
} as const;

// ---------------------------------------------------------------------------------------------- fleet to box

/** Where a box dials a relay. */
export const relayUrlSchema = z
  .string()
  .max(300)
  .regex(/^tls:\/\/[^/@?#\s]+:\d{1,5}$/, 'must be a relay such as tls://relay.example.org:7443');

/** The body of a command, by operation. Each can be repeated without harm. */
export const commandBodySchema = z.discriminatedUnion('type', [
  /** Operation cache file. `ttlMs` counts from `issuedAt`; null keeps it until deleted. */
  z.object({
    type: z.literal('cache'),
    asset: assetManifestSchema,
    ttlMs: z.int().min(1).nullable(),
    /** Never evicted; absent: it may be. */
    pinned: z.boolean().optional(),
  }),
  /** Operation delete file: forget these assets; the object goes with the last asset that needs it. */
  z.object({
    type: z.literal('delete'),
    sha256: sha256Schema,
    assetIds: z.array(assetIdSchema).min(1).max(100),
  }),
  /** Operation get file. */
  z.object({ type: z.literal('get'), sha256: sha256Schema }),
  /** Operation hardware configuration: send it now. */
  z.object({ type: z.literal('hardware') }),
  /** Operation index of local cached files: send it now. */
  z.object({ type: z.literal('index') }),
  /** Operation shard spot check. The box must answer from its disk before the command expires. */
  z.object({
    type: z.literal('spot-check'),
    sha256: sha256Schema,
    chunkIndex: count,
    nonce: z.string().regex(/^[0-9a-f]{32}$/),
  }),
  /** A certificate for the box's own name, for the key of its last `certificate-request`: PEM, leaf first. */
  z.object({ type: z.literal('certificate'), chain: z.string().max(LIMITS.certificateChainChars) }),
  /** Come to another version; only to boxes that have sent `update`. */
  z.object({ type: z.literal('update'), order: updateOrderSchema }),
  /** Settings that belong to the fleet; sent after every hello. `issuedAt` tells a box without a clock the time. */
  z.object({
    type: z.literal('configure'),
    heartbeatIntervalMs: z.int().min(100).max(3_600_000),
    /** The key this box checks delivery tokens with, 32 bytes, base64url. */
    deliveryKey: z.string().regex(/^[A-Za-z0-9_-]{43}$/),
    /** Where a client is sent whom this box cannot serve; `{siteId}` routes as `<routerUrl>/_site/{siteId}/path`. */
    routerUrl: z.url({ protocol: /^https?$/ }).max(300),
    /** Relays to be connected to; none or absent: this box is reached without. */
    relayUrls: z.array(relayUrlSchema).max(LIMITS.relays).optional(),
    /** The box's own name, for which it is to ask for a certificate; null or absent: it has none. */
    serverName: z.string().max(253).nullable().optional(),
    /** The port clients find boxes' TLS at through relays: mapped to the same one, a box has one URL either way. */
    securePort: z.int().min(1).max(65_535).nullable().optional(),
    /** Relays' addresses for dashboards from away, `https://relay.example.org`; only to boxes that have it on. */
    dashboardUrls: z
      .array(z.url({ protocol: /^https$/ }).max(300))
      .max(LIMITS.relays)
      .optional(),
    /** The CA has given no certificate since then; null or absent: nothing is known against it. */
    certificateProblem: certificateProblemSchema.nullable().optional(),
  }),
]);
export type CommandBody = z.infer<typeof commandBodySchema>;
export type CommandType = CommandBody['type'];

/** What is signed: body, target, id (the nonce) and expiry. */
export const commandSchema = z.object({
  id: commandIdSchema,
  boxId: boxIdSchema,
  issuedAt: timeSchema,
  expiresAt: timeSchema,
  body: commandBodySchema,
});
export type Command = z.infer<typeof commandSchema>;

/** `payload` is the command as JSON text; `signature` is Ed25519 over its UTF-8 bytes, base64url. */
export const signedCommandSchema = z.object({
  v: z.literal(PROTOCOL_VERSION),
  payload: z.string(),
  signature: z.string().regex(/^[A-Za-z0-9_-]{86}$/),
});

/** The batch is settled (or refused for good): the box may forget it. */
export const deliveriesAckSchema = z.object({
  v: z.literal(PROTOCOL_VERSION),
  batchId: deliveryBatchIdSchema,
  outcome: z.enum(['settled', 'refused']),
  reason: text.nullable(),
  acceptedBytes: bytes,
});

/** What a box has earned: made by one function of the fleet, shown as it is by every surface. */
export const earningsSchema = z.object({
  v: z.literal(PROTOCOL_VERSION),
  boxId: boxIdSchema,
  asOf: timeSchema,
  totals: z.object({
    estimate: microCreditsSchema,
    pending: microCreditsSchema,
    held: microCreditsSchema,
    final: microCreditsSchema,
    paid: microCreditsSchema,
  }),
  /** UTC days, oldest first, at most 30, days without earnings included. */
  days: z
    .array(z.object({ date: z.iso.date(), microCredits: microCreditsSchema, bytes, requests: count }))
    .max(30),
  /**
   * What was settled in each UTC hour of the last two days, oldest first, hours without anything left out: a
   * household's day is none of UTC's. Absent from a fleet of before they were told.
   */
  hours: z
    .array(z.object({ at: timeSchema, microCredits: microCreditsSchema, bytes, requests: count }))
    .max(50)
    .optional(),
  /**
   * What was settled in each UTC hour from `from` to the last in which anything was; a day more than `days`: a household's
   * own days are summed from it. Absent from a fleet of before it was told.
   */
  hourly: z.object({ from: timeSchema, microCredits: z.array(microCreditsSchema).max(24 * 31) }).optional(),
  /** The newest settled lines, newest first: what was paid, for what, and what bound it. */
  lines: z
    .array(
      z.object({
        at: timeSchema,
        siteHostname: text,
        path: text,
        claimedBytes: bytes,
        acceptedBytes: bytes,
        microCredits: microCreditsSchema,
        /** Why this much: `claimed` (all of it), `issued` (cut to what was issued), or the reason for nothing. */
        reason: text,
      }),
    )
    .max(50),
});
export type Earnings = z.infer<typeof earningsSchema>;

/**
 * Other boxes that hold an object this box is to hold, for one fill: their bytes are checked against the manifest,
 * and the origin stays the source of last resort. `lan`: in the same network, by the address it has there.
 */
export const sourcesSchema = z.object({
  v: z.literal(PROTOCOL_VERSION),
  sha256: sha256Schema,
  expiresAt: timeSchema,
  sources: z
    .array(z.object({ boxId: boxIdSchema, url: z.url({ protocol: /^https?$/ }).max(4096), lan: z.boolean() }))
    .max(LIMITS.sources),
});

/** What the fleet found where the box asked to be dialled. */
export const dialledSchema = z.object({
  v: z.literal(PROTOCOL_VERSION),
  results: z.array(z.object({ target: dialTargetSchema, code: z.enum(DIAL_CODES) })).max(DIALS_AT_ONCE),
  /** The box's address as the fleet sees it; null: unknown. */
  connectedFrom: z.string().max(64).nullable(),
});

const DOWN = {
  command: signedCommandSchema,
  'deliveries-ack': deliveriesAckSchema,
  earnings: earningsSchema,
  sources: sourcesSchema,
  'evictions-verdict': evictionsVerdictSchema,
  dialled: dialledSchema,
  'away-sessions': awaySessionsSchema,
} as const;

// ---------------------------------------------------------------------------------------------- both ways

export type UpKind = keyof typeof UP;
export type DownKind = keyof typeof DOWN;
export const UP_KINDS = Object.keys(UP) as UpKind[];
export const DOWN_KINDS = Object.keys(DOWN) as DownKind[];
export type UpMessage<K extends UpKind> = z.infer<(typeof UP)[K]>;
export type DownMessage<K extends DownKind> = z.infer<(typeof DOWN)[K]>;

/**
 * Reads an MQTT payload from a box.
 * @throws HearthError `message_too_large`, `message_version` or `message_malformed`, with what is wrong
 */
export function parseUp<K extends UpKind>(kind: K, payload: Uint8Array): UpMessage<K> {
  return parse(UP[kind], payload) as UpMessage<K>;
}

/** Reads an MQTT payload from the fleet. Throws as `parseUp` does. */
export function parseDown<K extends DownKind>(kind: K, payload: Uint8Array): DownMessage<K> {
  return parse(DOWN[kind], payload) as DownMessage<K>;
}

/** Writes a message; the sender's own mistake is caught here and not at the other side. */
export function encodeUp<K extends UpKind>(kind: K, message: UpMessage<K>): Buffer {
  return encode(UP[kind], message);
}

/** Writes a message to a box; throws as `encodeUp` does. */
export function encodeDown<K extends DownKind>(kind: K, message: DownMessage<K>): Buffer {
  return encode(DOWN[kind], message);
}

function encode(schema: z.ZodType, message: unknown): Buffer {
  const checked = schema.safeParse(message);
  if (!checked.success) throw new HearthError('message_malformed', describe(checked.error));
  const payload = Buffer.from(JSON.stringify(checked.data));
  if (payload.length > LIMITS.mqttPayloadBytes) throw tooLarge(payload.length);
  return payload;
}

function parse(schema: z.ZodType, payload: Uint8Array): unknown {
  if (payload.length > LIMITS.mqttPayloadBytes) throw tooLarge(payload.length);
  return parseJson(schema, Buffer.from(payload.buffer, payload.byteOffset, payload.length).toString('utf8'));
}

/**
 * Reads JSON text against a schema, the version first.
 * @throws HearthError `message_version` or `message_malformed`
 */
export function parseJson<T>(schema: z.ZodType<T>, json: string): T {
  let value: unknown;
  try {
    value = JSON.parse(json);
  } catch (cause) {
    throw new HearthError('message_malformed', 'not JSON', { cause });
  }
  const checked = schema.safeParse(value);
  if (checked.success) return checked.data;
  const version = (value as { v?: unknown } | null)?.v;
  if (version !== undefined && version !== PROTOCOL_VERSION) {
    throw new HearthError(
      'message_version',
      `version ${JSON.stringify(version)?.slice(0, 20)} is not understood, ${PROTOCOL_VERSION} is`,
    );
  }
  throw new HearthError('message_malformed', describe(checked.error));
}

function tooLarge(length: number): HearthError {
  return new HearthError(
    'message_too_large',
    `${length} bytes, at most ${LIMITS.mqttPayloadBytes} are taken`,
  );
}

/** The first few faults of a value, in one line. */
export function describe(error: z.ZodError): string {
  return error.issues
    .slice(0, 3)
    .map((issue) => `${issue.path.join('.') || 'message'}: ${issue.message}`)
    .join('; ')
    .slice(0, 400);
}

/** Cuts text from a machine to what a message may carry. */
export function clip(value: string | null | undefined): string {
  return (value ?? '').slice(0, LIMITS.textChars).toWellFormed().replaceAll('\0', '\ufffd');
}
