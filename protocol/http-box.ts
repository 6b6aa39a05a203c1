import * as z from 'zod';
import { timeSchema } from './asset.ts';
import { awayEndSchema, awaySessionSchema } from './away.ts';
import { claimCodeSchema } from './ids.ts';
import { assetStateSchema, diskStateSchema, earningsSchema } from './messages.ts';
import { updateProgressSchema } from './release.ts';

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
/** `POST /api/password`: ends every other session. */
export const passwordChangeSchema = z.object({ current: z.string().max(200), next: newPasswordSchema });

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
    /** Since midnight by the household's clock; without a clock, since the box started. */
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
    /** Free space that is always left to the disk's owner: what the household chose, else the box's option. */
    floorBytes: count,
    /** The id in the disk's marker; null while there is none. */
    id: z.string().nullable(),
    /** Why it is not `ok`, as a code (device-agent/store/disk-place.ts) that the page puts into words. */
    reason: z.string().nullable(),
    /** The same for a person, in English, with what the system said. */
    problem: z.string().nullable(),
  }),
  uplink: z.object({
    /** False while nothing new is served: paused, or the month's bytes are used up. */
    accepting: z.boolean(),
    /** What is left of a pause, ms; null when there is none. A length and no time: boxes may have no clock. */
    pausedForMs: count.nullable(),
    monthUsedUp: z.boolean(),
  }),
  holding: z.object({ held: count, downloading: count, queued: count, failed: count, bytes: count }),
  integrity: z.object({
    running: z.boolean(),
    checkedChunks: count,
    totalChunks: count,
    damagedChunks: count,
    finishedAt: timeSchema.nullable(),
  }),
  /** How the agent stands with updates; null: nothing but a package brings this box another version. */
  update: z
    .object({
      /** The version that came with the package, or one that was installed since. */
      runs: z.enum(['packaged', 'installed']),
      /** The update under way, or what came of the last. */
      last: updateProgressSchema.nullable(),
    })
    .nullable(),
  /** Batches of deliveries not yet settled by the fleet. */
  unsettledBatches: count,
  /** What was delivered and is not yet settled, by the box's own count. */
  unsettledBytes: count,
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

/** `GET /api/content?after=&q=&state=`: what is held and why, a page at a time. */
export const contentQuerySchema = z.object({
  /** The assetId of the last row of the page before. */
  after: z.string().max(64).optional(),
  /** Part of a path. */
  q: z.string().max(200).optional(),
  state: assetStateSchema.optional(),
  limit: z.coerce.number().int().min(1).max(200).default(50),
});
export type ContentQuery = z.infer<typeof contentQuerySchema>;
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
      /** Never evicted, whatever the space. */
      pinned: z.boolean(),
      /** Requests it answered, as far as the box remembers; null when it does not count. */
      hits: count.nullable(),
      lastUsedAt: timeSchema.nullable(),
    }),
  ),
  /** What `after` of the next page is; null at the end. */
  next: z.string().nullable(),
});
export type BoxContent = z.infer<typeof boxContentSchema>;

/** `GET /api/disks`: what is plugged in, and what may be picked. */
export const boxDiskSchema = z.object({
  mount: z.string(),
  device: z.string(),
  label: z.string().nullable(),
  filesystem: z.string(),
  removable: z.boolean(),
  totalBytes: count,
  freeBytes: count,
  /**
   * `free`: no marker; `ours`; `foreign`: another box's marker; `unmarked`: content of Hearth and no marker;
   * `unsuitable`: `reason` says why.
   */
  state: z.enum(['free', 'ours', 'foreign', 'unmarked', 'unsuitable']),
  reason: z.string().nullable(),
  chosen: z.boolean(),
  /** The largest file it takes (vfat: 4 GiB); null: no limit that matters. */
  fileLimitBytes: count.nullable(),
});
export type BoxDisk = z.infer<typeof boxDiskSchema>;
export const boxDisksSchema = z.object({
  items: z.array(boxDiskSchema),
  /** The folder that was named when the box was installed: then there is nothing to choose. */
  fixed: z.string().nullable(),
});
export type BoxDisks = z.infer<typeof boxDisksSchema>;
/**
 * `POST /api/disk`: uses this one; `adopt` takes over another box's, or one that has lost its marker. Where a folder is
 * `fixed`, only that, and only while it is not used by itself.
 */
export const diskChoiceSchema = z.object({
  mount: z.string().min(1).max(1024),
  adopt: z.boolean().default(false),
});

/** `POST /api/pause`: nothing is served or fetched for so long. */
export const pauseSchema = z.object({ minutes: z.int().min(1).max(1440) });

/** `GET /api/network` */
export const boxNetworkSchema = z.object({
  addresses: z.array(z.object({ name: z.string(), address: z.string(), family: z.enum(['ipv4', 'ipv6']) })),
  lanUrl: z.string(),
  /** Where clients are sent. */
  contentUrl: z.string(),
  routerUrl: z.string().nullable(),
  fleetUrl: z.string().nullable(),
  link: z.object({ state: z.enum(LINK_STATES), since: timeSchema, problem: z.string().nullable() }),
});
export type BoxNetwork = z.infer<typeof boxNetworkSchema>;

/** `GET /api/scrub`: the rounds in which everything held is read and checked again. */
export const boxScrubSchema = z.object({
  running: z.boolean(),
  checkedChunks: count,
  totalChunks: count,
  damagedChunks: count,
  /** Objects found damaged and made whole again, since the box started. */
  repairedObjects: count,
  /** When the last whole round ended. */
  finishedAt: timeSchema.nullable(),
  nextAt: timeSchema.nullable(),
  /** A round begins this often; null: only when the box starts or a disk comes. */
  periodMs: count.nullable(),
});
export type BoxScrub = z.infer<typeof boxScrubSchema>;

export const LOG_LEVELS = ['debug', 'info', 'warn', 'error'] as const;
/** `GET /api/logs?after=&level=`: the newest lines the box remembers, oldest first, secrets taken out. */
export const logQuerySchema = z.object({
  after: z.coerce.number().int().min(0).default(0),
  level: z.enum(LOG_LEVELS).default('info'),
});
export const boxLogsSchema = z.object({
  items: z.array(
    z.object({
      seq: count,
      at: timeSchema,
      level: z.enum(LOG_LEVELS),
      text: z.string(),
      fields: z.record(z.string(), z.string()),
    }),
  ),
});
export type LogLine = z.infer<typeof boxLogsSchema>['items'][number];

/** `GET /api/events?since=&log=`: `since` is the id of the last event seen, as `Last-Event-ID`, which goes first. */
export const eventsQuerySchema = z.object({
  since: z.string().max(64).optional(),
  /** `1`: the log too. */
  log: z.literal('1').optional(),
});
/** The event `log`: new lines of every level, oldest first. */
export const logEventSchema = boxLogsSchema.extend({
  /** Lines before these that were left out: there were too many at once. */
  skipped: count,
});
export type LogEvent = z.infer<typeof logEventSchema>;

/** `GET /api/earnings`: the fleet's own object, as last received; null before the first. */
export const boxEarningsSchema = z.object({ earnings: earningsSchema.nullable() });

/** `GET /api/away`: the dashboard from away from home. */
export const boxAwaySchema = z.object({
  on: z.boolean(),
  /** Where the dashboard is then; empty while the fleet has no relay that carries it. */
  urls: z.array(z.string()),
  since: timeSchema.nullable(),
  /** When somebody came in from away, and from which address; null: nobody yet. */
  lastUsedAt: timeSchema.nullable(),
  lastFrom: z.string().nullable(),
  /** Who is in now, by the fleet's word; null: it has told nothing (it is older, or cannot be reached). */
  sessions: z.array(awaySessionSchema).nullable(),
});
export type BoxAway = z.infer<typeof boxAwaySchema>;
/** `POST /api/away/end` ends sessions. */
export const boxAwayEndSchema = awayEndSchema.pick({ sessions: true });
/** `POST /api/away` switches it on, or makes another key; the key is shown this once. */
export const boxAwayKeySchema = boxAwaySchema.extend({ key: z.string() });
export type BoxAwayKey = z.infer<typeof boxAwayKeySchema>;

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
  'asset_evicted',
  'integrity_started',
  'integrity_finished',
  'chunk_damaged',
  'disk_state',
  'settled',
  'settlement_refused',
  'command_refused',
  'paused',
  'resumed',
  'password_set',
  'away_on',
  'away_off',
  'away_used',
  'away_ended',
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
