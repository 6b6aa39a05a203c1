import { sql } from 'drizzle-orm';
import {
  bigint,
  bigserial,
  boolean,
  customType,
  date,
  integer,
  jsonb,
  pgTable,
  primaryKey,
  text,
  timestamp,
  uuid,
} from 'drizzle-orm/pg-core';
import type { z } from 'zod';
import type {
  AssetState,
  CommandBody,
  CommandType,
  Hardware,
  Heartbeat,
  integritySchema,
} from '#protocol/messages.ts';
import type { CERTIFICATE_PROBLEMS } from '#protocol/reach.ts';

/**
 * The tables as drizzle sees them. migrations/*.sql is what makes them, constraints and triggers included;
 * schema.integration.test.ts compares the two.
 */
const bytea = customType<{ data: Buffer }>({ dataType: () => 'bytea' });
const time = (name: string) => timestamp(name, { withTimezone: true });
const created = (name = 'created_at') => time(name).notNull().defaultNow();
const sizeBytes = (name: string) => bigint(name, { mode: 'number' });
/** Money: whole micro-credits, never a float. */
const microCredits = (name: string) => bigint(name, { mode: 'bigint' });

export const operators = pgTable('operators', {
  id: uuid('id').primaryKey().defaultRandom(),
  username: text('username').notNull(),
  passwordHash: text('password_hash').notNull(),
  createdAt: created(),
});

export const operatorSessions = pgTable('operator_sessions', {
  secretHash: bytea('secret_hash').primaryKey(),
  operatorId: uuid('operator_id').notNull(),
  expiresAt: time('expires_at').notNull(),
});

export const apiTokens = pgTable('api_tokens', {
  id: uuid('id').primaryKey().defaultRandom(),
  operatorId: uuid('operator_id').notNull(),
  name: text('name').notNull(),
  secretHash: bytea('secret_hash').notNull(),
  createdAt: created(),
  lastUsedAt: time('last_used_at'),
});

export const boxes = pgTable('boxes', {
  id: text('id').primaryKey(),
  label: text('label').notNull(),
  enrolledAt: created('enrolled_at'),
  revokedAt: time('revoked_at'),
  keyFingerprint: bytea('key_fingerprint').notNull(),
  agentVersion: text('agent_version'),
  brokerUrl: text('broker_url'),
  online: boolean('online').notNull().default(false),
  bootId: uuid('boot_id'),
  lastSeenAt: time('last_seen_at'),
  heartbeat: jsonb('heartbeat').$type<Heartbeat>(),
  hardware: jsonb('hardware').$type<Hardware>(),
  integrity: jsonb('integrity').$type<z.infer<typeof integritySchema>>(),
  refusedMessages: integer('refused_messages').notNull().default(0),
  dialOk: boolean('dial_ok'),
  dialReason: text('dial_reason'),
  dialledAt: time('dialled_at'),
  diskChangedAt: time('disk_changed_at'),
  dialledUrl: text('dialled_url'),
  secureUrl: text('secure_url'),
  secureOk: boolean('secure_ok'),
  observedAddress: text('observed_address'),
  nameLabel: text('name_label')
    .notNull()
    .default(sql`'b' || substr(replace(gen_random_uuid()::text, '-', ''), 1, 15)`),
});

export const claims = pgTable('claims', {
  codeHash: bytea('code_hash').primaryKey(),
  hint: text('hint').notNull(),
  label: text('label'),
  createdAt: created(),
  expiresAt: time('expires_at').notNull(),
  boxId: text('box_id'),
});

export const tenants = pgTable('tenants', {
  id: text('id').primaryKey(),
  name: text('name').notNull(),
  createdAt: created(),
});

export const sites = pgTable('sites', {
  id: text('id').primaryKey(),
  hostname: text('hostname').notNull(),
  origin: text('origin').notNull(),
  tenantId: text('tenant_id').notNull(),
  createdAt: created(),
});

export const assets = pgTable('assets', {
  id: text('id').primaryKey(),
  siteId: text('site_id').notNull(),
  path: text('path').notNull(),
  state: text('state').$type<'queued' | 'reading' | 'ready' | 'failed' | 'purged'>().notNull(),
  errorCode: text('error_code'),
  errorMessage: text('error_message'),
  sizeBytes: sizeBytes('size_bytes'),
  sha256: text('sha256'),
  chunkSizeBytes: integer('chunk_size_bytes'),
  chunkHashes: bytea('chunk_hashes'),
  contentType: text('content_type'),
  cacheControl: text('cache_control'),
  lastModified: text('last_modified'),
  createdAt: created(),
  ingestedAt: time('ingested_at'),
});

export const spotChallenges = pgTable('spot_challenges', {
  id: bigserial('id', { mode: 'bigint' }).primaryKey(),
  assetId: text('asset_id').notNull(),
  sha256: text('sha256').notNull(),
  chunkIndex: integer('chunk_index').notNull(),
  nonce: text('nonce').notNull(),
  proof: text('proof').notNull(),
});

export const assignments = pgTable('assignments', {
  id: text('id').primaryKey(),
  assetId: text('asset_id').notNull(),
  createdAt: created(),
  expiresAt: time('expires_at'),
  endedAt: time('ended_at'),
});

export const placements = pgTable(
  'placements',
  {
    assetId: text('asset_id').notNull(),
    boxId: text('box_id').notNull(),
    assignmentId: text('assignment_id').notNull(),
    desired: text('desired').$type<'held' | 'absent'>().notNull(),
    reported: text('reported').$type<AssetState>(),
    reportedSha256: text('reported_sha256'),
    bytesDone: sizeBytes('bytes_done').notNull().default(0),
    reasonCode: text('reason_code'),
    reasonMessage: text('reason_message'),
    expiresAt: time('expires_at'),
    /** Never evicted by the box. */
    pinned: boolean('pinned').notNull().default(false),
    updatedAt: created('updated_at'),
  },
  (table) => [primaryKey({ columns: [table.assetId, table.boxId] })],
);

export const wantedCopies = pgTable('wanted_copies', {
  assetId: text('asset_id').primaryKey(),
  copies: integer('copies').notNull(),
  pinned: boolean('pinned').notNull(),
  expiresAt: time('expires_at'),
  lookAt: time('look_at'),
});

export const evictions = pgTable(
  'evictions',
  {
    assetId: text('asset_id').notNull(),
    boxId: text('box_id').notNull(),
    evictedAt: created('evicted_at'),
  },
  (table) => [primaryKey({ columns: [table.assetId, table.boxId] })],
);

export const lostBoxes = pgTable('lost_boxes', {
  boxId: text('box_id').primaryKey(),
  since: created('since'),
});

export const commands = pgTable('commands', {
  id: text('id').primaryKey(),
  boxId: text('box_id').notNull(),
  type: text('type').$type<CommandType>().notNull(),
  subject: text('subject').notNull(),
  body: jsonb('body').$type<CommandBody>().notNull(),
  state: text('state').$type<'pending' | 'sent' | 'done' | 'refused' | 'void'>().notNull().default('pending'),
  attempts: integer('attempts').notNull().default(0),
  createdAt: created(),
  expiresAt: time('expires_at').notNull(),
  lastSentAt: time('last_sent_at'),
  endedAt: time('ended_at'),
  detail: text('detail'),
});

export const spotChecks = pgTable('spot_checks', {
  commandId: text('command_id').primaryKey(),
  boxId: text('box_id').notNull(),
  assetId: text('asset_id').notNull(),
  sha256: text('sha256').notNull(),
  chunkIndex: integer('chunk_index').notNull(),
  challengeId: bigint('challenge_id', { mode: 'bigint' }),
  proof: text('proof').notNull(),
  askedAt: created('asked_at'),
  deadline: time('deadline').notNull(),
  outcome: text('outcome').$type<'waiting' | 'passed' | 'failed' | 'late'>().notNull().default('waiting'),
});

export const deliveryBatches = pgTable(
  'delivery_batches',
  {
    boxId: text('box_id').notNull(),
    batchId: text('batch_id').notNull(),
    contentSha256: bytea('content_sha256').notNull(),
    receivedAt: created('received_at'),
    acceptedBytes: sizeBytes('accepted_bytes').notNull(),
  },
  (table) => [primaryKey({ columns: [table.boxId, table.batchId] })],
);

export const deliveryTokens = pgTable('delivery_tokens', {
  serial: bytea('serial').primaryKey(),
  boxId: text('box_id').notNull(),
  maxBytes: sizeBytes('max_bytes').notNull(),
  acceptedBytes: sizeBytes('accepted_bytes').notNull(),
  expiresAt: time('expires_at').notNull(),
});

export const deliveryLines = pgTable('delivery_lines', {
  id: bigserial('id', { mode: 'bigint' }).primaryKey(),
  boxId: text('box_id').notNull(),
  batchId: text('batch_id').notNull(),
  siteId: text('site_id').notNull(),
  assetId: text('asset_id').notNull(),
  claimedBytes: sizeBytes('claimed_bytes').notNull(),
  acceptedBytes: sizeBytes('accepted_bytes').notNull(),
  requests: integer('requests').notNull(),
  microCredits: microCredits('micro_credits').notNull(),
  charged: microCredits('charged').notNull().default(0n),
  reason: text('reason').notNull(),
  settledAt: created('settled_at'),
});

export const ledgerAccounts = pgTable('ledger_accounts', {
  id: text('id').primaryKey(),
  kind: text('kind').$type<'tenant' | 'box' | 'fleet'>().notNull(),
  createdAt: created(),
});

export const ledgerTransfers = pgTable('ledger_transfers', {
  id: text('id').primaryKey(),
  seq: bigserial('seq', { mode: 'bigint' }).notNull(),
  kind: text('kind').notNull(),
  idempotencyKey: text('idempotency_key').notNull(),
  requestSha256: bytea('request_sha256').notNull(),
  memo: text('memo').notNull(),
  createdAt: created(),
});

export const ledgerEntries = pgTable(
  'ledger_entries',
  {
    transferId: text('transfer_id').notNull(),
    accountId: text('account_id').notNull(),
    amount: microCredits('amount').notNull(),
  },
  (table) => [primaryKey({ columns: [table.transferId, table.accountId] })],
);

export const redirectCounts = pgTable(
  'redirect_counts',
  {
    day: date('day').notNull(),
    target: text('target').$type<'box' | 'origin'>().notNull(),
    count: bigint('count', { mode: 'number' }).notNull(),
  },
  (table) => [primaryKey({ columns: [table.day, table.target] })],
);

export const relays = pgTable('relays', {
  id: text('id').primaryKey(),
  tunnelUrl: text('tunnel_url').notNull(),
  publicUrl: text('public_url').notNull(),
  addresses: text('addresses').array().notNull(),
  startedAt: created('started_at'),
  seenAt: created('seen_at'),
  draining: boolean('draining').notNull().default(false),
  dashboardUrl: text('dashboard_url'),
  nameLabel: text('name_label'),
});

export const awaySessions = pgTable('away_sessions', {
  secretHash: bytea('secret_hash').primaryKey(),
  id: uuid('id').notNull().defaultRandom(),
  boxId: text('box_id').notNull(),
  keySha256: text('key_sha256').notNull(),
  client: text('client').notNull(),
  createdAt: created(),
  seenAt: created('seen_at'),
  endedAt: time('ended_at'),
});

export const relayTunnels = pgTable(
  'relay_tunnels',
  {
    relayId: text('relay_id').notNull(),
    boxId: text('box_id').notNull(),
    since: created('since'),
    secure: boolean('secure').notNull().default(false),
  },
  (table) => [primaryKey({ columns: [table.relayId, table.boxId] })],
);

export const relayCounts = pgTable(
  'relay_counts',
  {
    relayId: text('relay_id').notNull(),
    boxId: text('box_id').notNull(),
    hour: time('hour').notNull(),
    bytes: sizeBytes('bytes').notNull().default(0),
    requests: sizeBytes('requests').notNull().default(0),
  },
  (table) => [primaryKey({ columns: [table.relayId, table.boxId, table.hour] })],
);

/** A request for a certificate and what came of it; made anew for each table, as drizzle wants it. */
const certificateColumns = () => ({
  csr: text('csr').notNull(),
  state: text('state').$type<'waiting' | 'issued'>().notNull(),
  attempts: integer('attempts').notNull().default(0),
  nextTryAt: created('next_try_at'),
  problem: text('problem'),
  problemCode: text('problem_code').$type<(typeof CERTIFICATE_PROBLEMS)[number]>(),
  failingSince: time('failing_since'),
  chain: text('chain'),
  issuedAt: time('issued_at'),
  expiresAt: time('expires_at'),
});

export const boxCertificates = pgTable('box_certificates', {
  boxId: text('box_id').primaryKey(),
  ...certificateColumns(),
});

export const relayCertificates = pgTable('relay_certificates', {
  nameLabel: text('name_label').primaryKey(),
  ...certificateColumns(),
});

export const acmeChallenges = pgTable(
  'acme_challenges',
  {
    nameLabel: text('name_label').notNull(),
    value: text('value').notNull(),
    createdAt: created(),
  },
  (table) => [primaryKey({ columns: [table.nameLabel, table.value] })],
);

export * from '#fleet/releases/tables.ts';
