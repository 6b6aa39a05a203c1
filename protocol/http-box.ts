import * as z from 'zod';
import { timeSchema } from './asset.ts';
import { claimCodeSchema } from './ids.ts';
import { assetStateSchema, diskStateSchema, earningsSchema } from './messages.ts';

/** Bodies of the box's own API on the LAN, `/api`, that its dashboard reads. */

const count = z.int().min(0);

/** Length is what makes a password strong; 10 is the least, NIST SP 800-63B asks for no composition rules. */
export const newPasswordSchema = z.string().min(10, 'at least 10 characters').max(200);

/** `GET /api/session`: answered to anyone on the LAN, so it says no more than it must. */
export const boxSessionSchema = z.object({
  /** True until the first-run password is set; then `POST /api/setup` is closed for good. */
  setupNeeded: z.boolean(),
  loggedIn: z.boolean(),
});
export const setupSchema = z.object({ password: newPasswordSchema });
export const boxLoginSchema = z.object({ password: z.string().max(200) });

export const LINK_STATES = ['unpaired', 'pairing', 'connecting', 'online', 'offline'] as const;

/** `GET /api/status` */
export const boxStatusSchema = z.object({
  box: z.object({
    id: z.string().nullable(),
    label: z.string().nullable(),
    agentVersion: z.string(),
    uptimeMs: count,
    rssBytes: count,
  }),
  link: z.object({
    state: z.enum(LINK_STATES),
    since: timeSchema,
    /** Why it is not online, for a person; null when it is. */
    problem: z.string().nullable(),
    fleetUrl: z.string().nullable(),
    refusedMessages: count,
  }),
  serving: z.object({
    connections: count,
    bytesPerSecond: z.number().min(0),
    bytesToday: count,
    requestsToday: count,
    contentUrl: z.string(),
  }),
  disk: z.object({
    state: diskStateSchema,
    path: z.string(),
    totalBytes: count,
    freeBytes: count,
    usedBytes: count,
  }),
  holding: z.object({ held: count, downloading: count, queued: count, failed: count, bytes: count }),
  integrity: z.object({
    running: z.boolean(),
    checkedChunks: count,
    totalChunks: count,
    damagedChunks: count,
    finishedAt: timeSchema.nullable(),
  }),
  /** Batches of deliveries not yet settled by the fleet. */
  unsettledBatches: count,
});
export type BoxStatus = z.infer<typeof boxStatusSchema>;

/** `POST /api/pair` */
export const pairSchema = z.object({
  fleetUrl: z
    .url({ protocol: /^https?$/ })
    .max(300)
    .optional(),
  claimCode: claimCodeSchema,
});
/** `GET /api/pair`: what the form starts with. */
export const pairDefaultsSchema = z.object({ fleetUrl: z.string().nullable() });

/** `GET /api/content` */
export const boxContentSchema = z.object({
  items: z.array(
    z.object({
      assetId: z.string(),
      siteId: z.string(),
      path: z.string(),
      contentType: z.string(),
      sizeBytes: count,
      bytesDone: count,
      state: assetStateSchema,
      reason: z.object({ code: z.string(), message: z.string() }).nullable(),
      expiresAt: timeSchema.nullable(),
    }),
  ),
});

/** `GET /api/earnings`: the fleet's own object, as last received; null before the first. */
export const boxEarningsSchema = z.object({ earnings: earningsSchema.nullable() });

export const ACTIVITY_KINDS = [
  'started',
  'paired',
  'online',
  'offline',
  'asset_queued',
  'asset_held',
  'asset_failed',
  'asset_deleted',
  'asset_expired',
  'integrity_started',
  'integrity_finished',
  'chunk_damaged',
  'disk_state',
  'settled',
  'settlement_refused',
  'command_refused',
] as const;
/** `GET /api/activity`, newest first, at most 200, kept in memory. Texts are made by the dashboard from `kind`. */
export const activitySchema = z.object({
  items: z.array(
    z.object({
      seq: count,
      at: timeSchema,
      kind: z.enum(ACTIVITY_KINDS),
      /** Values for the text: a path, a reason, a count. */
      detail: z.record(z.string(), z.union([z.string(), z.number()])),
    }),
  ),
});
export type Activity = z.infer<typeof activitySchema>['items'][number];
export type ActivityKind = Activity['kind'];
