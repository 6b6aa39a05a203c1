import * as z from 'zod';
import { sha256Schema, timeSchema } from './asset.ts';
import { boxIdSchema, rolloutIdSchema } from './ids.ts';
import { LIMITS } from './limits.ts';
import { architectureSchema, METADATA_NAME, releaseVersionSchema, updateProgressSchema } from './release.ts';

/** Releases and rollouts in the fleet's HTTP API, `/api/v1`. */

const count = z.int().min(0);
const ms = (most: number) => z.int().min(0).max(most);

/** `POST /releases`: metadata files by name, as they were signed; checked as a box would before it is stored. */
export const publishSchema = z.object({
  files: z
    .record(z.string().regex(METADATA_NAME, 'must be a TUF file name'), z.string().max(1024 * 1024))
    .refine(
      (files) => Object.keys(files).length <= LIMITS.metadataFiles,
      `at most ${LIMITS.metadataFiles} files`,
    ),
});

const artefactSchema = z.object({
  version: releaseVersionSchema,
  architecture: architectureSchema,
  minimumFrom: releaseVersionSchema,
  rollbackFrom: z.array(releaseVersionSchema),
  sizeBytes: count,
  sha256: sha256Schema,
});

/** `GET /releases` */
export const releasesSchema = z.object({
  /** Newest first. */
  releases: z.array(z.object({ version: releaseVersionSchema, artefacts: z.array(artefactSchema) })),
  rootVersion: count.nullable(),
  /** When boxes stop believing what is published, unless it is signed anew. */
  freshUntil: timeSchema.nullable(),
});
export type Releases = z.infer<typeof releasesSchema>;

export const ROLLOUT_STATES = [
  'running',
  'paused',
  'halted',
  'rolling_back',
  'finished',
  'rolled_back',
  'cancelled',
] as const;
export type RolloutState = (typeof ROLLOUT_STATES)[number];

export const TARGET_STATES = [
  'pending',
  'ordered',
  'updated',
  'failed',
  'reverting',
  'reverted',
  /** Nothing more is wanted of it. */
  'dropped',
] as const;
export type TargetState = (typeof TARGET_STATES)[number];

export const ROLLOUT_EVENTS = [
  'created',
  'wave_begun',
  'wave_met',
  'box_updated',
  'box_failed',
  'box_reverted',
  'halted',
  'paused',
  'resumed',
  'rolling_back',
  'rolled_back',
  'finished',
  'cancelled',
] as const;
export type RolloutEventKind = (typeof ROLLOUT_EVENTS)[number];

/**
 * Why rollouts leave a box out: its agent was started by something else than its launcher (from the sources, or by a
 * version of before updates); its package brought no root of trust.
 */
export const NO_UPDATES = ['not_launched', 'no_root'] as const;
export type NoUpdates = (typeof NO_UPDATES)[number];

/** Whom a rollout is for: all conditions together; an empty one is for every box that can be updated. */
export const rolloutSelectorSchema = z.object({
  architectures: z.array(architectureSchema).max(3).optional(),
  boxIds: z.array(boxIdSchema).min(1).max(LIMITS.boxesPerRollout).optional(),
  /** A pattern for boxes' labels, `*` for any characters: `shop-*`. */
  labels: z.string().min(1).max(80).optional(),
});

export const rolloutPlanSchema = z.object({
  selector: rolloutSelectorSchema.default({}),
  /** Boxes of the first wave by name, instead of its percentage. */
  canaries: z.array(boxIdSchema).max(100).default([]),
  /** Of all boxes, by the end of each wave; the first is the canary, and has one box at least. */
  waves: z
    .array(z.number().min(0).max(100))
    .min(1)
    .max(20)
    .refine((waves) => waves.every((percent, at) => at === 0 || percent > (waves[at - 1] ?? 0)), 'must grow')
    .refine((waves) => waves.at(-1) === 100, 'must end with 100')
    .default([5, 25, 100]),
  /** How long a wave must have stood its test before the next begins. */
  soakMs: ms(30 * 86_400_000).default(3_600_000),
  /** Of the boxes ordered to: with fewer successes the rollout goes no further, and with more failures it halts. */
  successPercent: z.number().min(1).max(100).default(90),
  /** Whether a halt takes the updated boxes back, where there is a signed way. */
  rollBack: z.boolean().default(true),
  /** Boxes under way at once. */
  atOnce: z.int().min(1).max(10_000).default(100),
  /** A box that falls silent on trial for so long has failed. */
  lostAfterMs: ms(7 * 86_400_000).default(3_600_000),
  /** Hours of the household's day in which boxes switch; null: any. */
  window: z
    .object({ fromHour: z.int().min(0).max(23), toHour: z.int().min(0).max(23) })
    .nullable()
    .default(null),
});
export type RolloutPlan = z.infer<typeof rolloutPlanSchema>;

/** `POST /rollouts` */
export const createRolloutSchema = rolloutPlanSchema.extend({ version: releaseVersionSchema });

export const ROLLOUT_ACTIONS = ['pause', 'resume', 'halt', 'roll-back', 'cancel'] as const;
export const rolloutActionSchema = z.enum(ROLLOUT_ACTIONS);
export type RolloutAction = (typeof ROLLOUT_ACTIONS)[number];

const waveSchema = z.object({
  /** Of all boxes, by its end. */
  percent: z.number(),
  boxes: count,
  counts: z.record(z.enum(TARGET_STATES), count),
});

export const rolloutSchema = z.object({
  id: rolloutIdSchema,
  version: releaseVersionSchema,
  backTo: releaseVersionSchema.nullable(),
  state: z.enum(ROLLOUT_STATES),
  wave: count,
  waveMetAt: timeSchema.nullable(),
  plan: rolloutPlanSchema,
  /** Why it halted, in words. */
  reason: z.string().nullable(),
  createdAt: timeSchema,
  endedAt: timeSchema.nullable(),
  waves: z.array(waveSchema),
});
export type Rollout = z.infer<typeof rolloutSchema>;

/** `GET /rollouts/:id` */
export const rolloutDetailSchema = rolloutSchema.extend({
  /** Failed ones first; at most `LIMITS.pageRows`. */
  targets: z.array(
    z.object({
      boxId: boxIdSchema,
      label: z.string(),
      online: z.boolean(),
      wave: count,
      state: z.enum(TARGET_STATES),
      version: releaseVersionSchema.nullable(),
      architecture: architectureSchema.nullable(),
      /** What the box itself says of the update under way. */
      progress: updateProgressSchema.nullable(),
      reason: z.object({ code: z.string(), message: z.string() }).nullable(),
      changedAt: timeSchema,
    }),
  ),
  /** Newest first. */
  events: z.array(
    z.object({
      at: timeSchema,
      kind: z.enum(ROLLOUT_EVENTS),
      boxId: boxIdSchema.nullable(),
      boxLabel: z.string().nullable(),
      operator: z.string().nullable(),
      detail: z.string(),
    }),
  ),
});
export type RolloutDetail = z.infer<typeof rolloutDetailSchema>;

/** `GET /rollouts`, newest first. */
export const rolloutListSchema = z.object({
  items: z.array(rolloutSchema),
  /** Boxes that no rollout reaches, by the reason: how many, and the first of them. */
  leftOut: z.array(
    z.object({
      why: z.enum(NO_UPDATES),
      count,
      boxes: z.array(z.object({ id: boxIdSchema, label: z.string() })).max(LIMITS.leftOutBoxes),
    }),
  ),
});
export type RolloutList = z.infer<typeof rolloutListSchema>;
