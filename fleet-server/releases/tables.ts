import {
  bigint,
  bigserial,
  customType,
  integer,
  jsonb,
  pgTable,
  primaryKey,
  text,
  timestamp,
} from 'drizzle-orm/pg-core';
import type { UpdateReport } from '#protocol/release.ts';
import type { RolloutEventKind, RolloutPlan, RolloutState, TargetState } from '#protocol/rollout.ts';

const bytea = customType<{ data: Buffer }>({ dataType: () => 'bytea' });
const time = (name: string) => timestamp(name, { withTimezone: true });

export const releaseMetadata = pgTable('release_metadata', {
  name: text('name').primaryKey(),
  content: text('content').notNull(),
  publishedAt: time('published_at').notNull().defaultNow(),
});

export const releaseArtefacts = pgTable('release_artefacts', {
  sha256: text('sha256').primaryKey(),
  sizeBytes: bigint('size_bytes', { mode: 'number' }).notNull(),
  uploadedAt: time('uploaded_at').notNull().defaultNow(),
});

export const releasePieces = pgTable(
  'release_pieces',
  {
    sha256: text('sha256').notNull(),
    piece: integer('piece').notNull(),
    content: bytea('content').notNull(),
  },
  (table) => [primaryKey({ columns: [table.sha256, table.piece] })],
);

export const boxUpdates = pgTable('box_updates', {
  boxId: text('box_id').primaryKey(),
  reportedAt: time('reported_at').notNull().defaultNow(),
  report: jsonb('report').$type<UpdateReport>().notNull(),
});

export const rollouts = pgTable('rollouts', {
  id: text('id').primaryKey(),
  version: text('version').notNull(),
  backTo: text('back_to'),
  state: text('state').$type<RolloutState>().notNull(),
  wave: integer('wave').notNull().default(0),
  waveMetAt: time('wave_met_at'),
  plan: jsonb('plan').$type<RolloutPlan>().notNull(),
  reason: text('reason'),
  createdAt: time('created_at').notNull().defaultNow(),
  endedAt: time('ended_at'),
});

export const rolloutTargets = pgTable(
  'rollout_targets',
  {
    rolloutId: text('rollout_id').notNull(),
    boxId: text('box_id').notNull(),
    wave: integer('wave').notNull(),
    state: text('state').$type<TargetState>().notNull().default('pending'),
    attempt: integer('attempt').notNull().default(1),
    fromVersion: text('from_version'),
    reasonCode: text('reason_code'),
    reasonMessage: text('reason_message'),
    orderedAt: time('ordered_at'),
    changedAt: time('changed_at').notNull().defaultNow(),
  },
  (table) => [primaryKey({ columns: [table.rolloutId, table.boxId] })],
);

export const rolloutEvents = pgTable('rollout_events', {
  id: bigserial('id', { mode: 'bigint' }).primaryKey(),
  rolloutId: text('rollout_id').notNull(),
  at: time('at').notNull().defaultNow(),
  kind: text('kind').$type<RolloutEventKind>().notNull(),
  boxId: text('box_id'),
  operator: text('operator'),
  detail: text('detail').notNull().default(''),
});
