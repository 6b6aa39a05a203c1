-- Operators, their sessions and tokens. Secrets are kept as SHA-256 (random tokens) or scrypt (passwords).
CREATE TABLE operators (
  id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
  username text NOT NULL UNIQUE,
  password_hash text NOT NULL,
  created_at timestamptz NOT NULL DEFAULT now()
);
CREATE TABLE operator_sessions (
  secret_hash bytea PRIMARY KEY,
  operator_id uuid NOT NULL REFERENCES operators ON DELETE CASCADE,
  expires_at timestamptz NOT NULL
);
CREATE TABLE api_tokens (
  id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
  operator_id uuid NOT NULL REFERENCES operators ON DELETE CASCADE,
  name text NOT NULL,
  secret_hash bytea NOT NULL UNIQUE,
  created_at timestamptz NOT NULL DEFAULT now(),
  last_used_at timestamptz
);

-- Boxes and the one-time codes that let them in.
CREATE TABLE boxes (
  id text PRIMARY KEY,
  label text NOT NULL,
  enrolled_at timestamptz NOT NULL DEFAULT now(),
  revoked_at timestamptz,
  -- SHA-256 of the public key in the box's certificate.
  key_fingerprint bytea NOT NULL,
  agent_version text,
  -- Which broker holds the connection, while there is one.
  broker_url text,
  online boolean NOT NULL DEFAULT false,
  boot_id uuid,
  last_seen_at timestamptz,
  heartbeat jsonb,
  hardware jsonb,
  integrity jsonb,
  refused_messages integer NOT NULL DEFAULT 0,
  -- What the fleet saw when it dialled the content URL itself; null before the first time.
  dial_ok boolean,
  dial_reason text,
  dialled_at timestamptz
);
CREATE TABLE claims (
  code_hash bytea PRIMARY KEY,
  -- The first group, for people to tell codes apart.
  hint text NOT NULL,
  label text,
  created_at timestamptz NOT NULL DEFAULT now(),
  expires_at timestamptz NOT NULL,
  box_id text REFERENCES boxes
);

-- Tenants, sites, assets.
CREATE TABLE tenants (
  id text PRIMARY KEY,
  name text NOT NULL UNIQUE,
  created_at timestamptz NOT NULL DEFAULT now()
);
CREATE TABLE sites (
  id text PRIMARY KEY,
  hostname text NOT NULL UNIQUE,
  origin text NOT NULL,
  tenant_id text NOT NULL REFERENCES tenants,
  created_at timestamptz NOT NULL DEFAULT now()
);
CREATE TABLE assets (
  id text PRIMARY KEY,
  site_id text NOT NULL REFERENCES sites,
  path text NOT NULL,
  state text NOT NULL CHECK (state IN ('queued', 'reading', 'ready', 'failed', 'purged')),
  error_code text,
  error_message text,
  size_bytes bigint,
  sha256 text,
  chunk_size_bytes integer,
  -- 32 bytes for each chunk.
  chunk_hashes bytea,
  content_type text,
  cache_control text,
  last_modified text,
  created_at timestamptz NOT NULL DEFAULT now(),
  ingested_at timestamptz,
  UNIQUE (site_id, path),
  CHECK (state <> 'ready' OR (size_bytes IS NOT NULL AND sha256 IS NOT NULL AND chunk_hashes IS NOT NULL
    AND chunk_size_bytes IS NOT NULL AND content_type IS NOT NULL))
);
-- Questions made at ingest, while the bytes pass by: the fleet keeps no copy to make them from later.
CREATE TABLE spot_challenges (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  asset_id text NOT NULL REFERENCES assets ON DELETE CASCADE,
  sha256 text NOT NULL,
  chunk_index integer NOT NULL,
  nonce text NOT NULL,
  proof text NOT NULL
);
CREATE INDEX spot_challenges_asset ON spot_challenges (asset_id);

-- Desired and reported state of each asset on each box.
CREATE TABLE assignments (
  id text PRIMARY KEY,
  asset_id text NOT NULL REFERENCES assets,
  created_at timestamptz NOT NULL DEFAULT now(),
  expires_at timestamptz,
  ended_at timestamptz
);
CREATE INDEX assignments_asset ON assignments (asset_id);
CREATE INDEX assignments_open ON assignments (created_at) WHERE ended_at IS NULL;
CREATE TABLE placements (
  asset_id text NOT NULL REFERENCES assets,
  box_id text NOT NULL REFERENCES boxes,
  assignment_id text NOT NULL REFERENCES assignments,
  desired text NOT NULL CHECK (desired IN ('held', 'absent')),
  reported text CHECK (reported IN ('queued', 'downloading', 'held', 'failed', 'deleted', 'expired')),
  -- Which bytes the report speaks of: after a new ingest a box may hold the old ones for a while.
  reported_sha256 text,
  bytes_done bigint NOT NULL DEFAULT 0,
  reason_code text,
  reason_message text,
  expires_at timestamptz,
  updated_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (asset_id, box_id)
);
CREATE INDEX placements_box ON placements (box_id);
CREATE INDEX placements_assignment ON placements (assignment_id);

-- The outbox of commands: sent and sent again until the box replies.
CREATE TABLE commands (
  id text PRIMARY KEY,
  box_id text NOT NULL REFERENCES boxes,
  type text NOT NULL,
  -- What it is about, so that a newer command on the same subject takes an older one's place.
  subject text NOT NULL,
  body jsonb NOT NULL,
  state text NOT NULL DEFAULT 'pending' CHECK (state IN ('pending', 'sent', 'done', 'refused', 'void')),
  attempts integer NOT NULL DEFAULT 0,
  created_at timestamptz NOT NULL DEFAULT now(),
  expires_at timestamptz NOT NULL,
  last_sent_at timestamptz,
  ended_at timestamptz,
  detail text
);
CREATE UNIQUE INDEX commands_open_subject ON commands (box_id, subject) WHERE state IN ('pending', 'sent');
CREATE INDEX commands_box ON commands (box_id, created_at DESC);
CREATE TABLE spot_checks (
  command_id text PRIMARY KEY REFERENCES commands ON DELETE CASCADE,
  box_id text NOT NULL REFERENCES boxes,
  asset_id text NOT NULL,
  sha256 text NOT NULL,
  chunk_index integer NOT NULL,
  challenge_id bigint,
  proof text NOT NULL,
  asked_at timestamptz NOT NULL DEFAULT now(),
  deadline timestamptz NOT NULL,
  outcome text NOT NULL DEFAULT 'waiting' CHECK (outcome IN ('waiting', 'passed', 'failed', 'late'))
);
CREATE INDEX spot_checks_box ON spot_checks (box_id, asked_at DESC);

-- Deliveries: what boxes claimed, and what was accepted of it.
CREATE TABLE delivery_batches (
  box_id text NOT NULL REFERENCES boxes,
  batch_id text NOT NULL,
  -- Of the lines as received: the same batch again is accepted, another one under its id is refused.
  content_sha256 bytea NOT NULL,
  received_at timestamptz NOT NULL DEFAULT now(),
  accepted_bytes bigint NOT NULL,
  PRIMARY KEY (box_id, batch_id)
);
CREATE TABLE delivery_tokens (
  serial bytea PRIMARY KEY,
  box_id text NOT NULL REFERENCES boxes,
  max_bytes bigint NOT NULL,
  accepted_bytes bigint NOT NULL,
  expires_at timestamptz NOT NULL,
  CHECK (accepted_bytes BETWEEN 0 AND max_bytes)
);
CREATE TABLE delivery_lines (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  box_id text NOT NULL REFERENCES boxes,
  batch_id text NOT NULL,
  site_id text NOT NULL,
  asset_id text NOT NULL,
  claimed_bytes bigint NOT NULL,
  accepted_bytes bigint NOT NULL,
  requests integer NOT NULL,
  micro_credits bigint NOT NULL,
  reason text NOT NULL,
  settled_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX delivery_lines_box ON delivery_lines (box_id, settled_at DESC);
CREATE INDEX delivery_lines_site ON delivery_lines (site_id);

-- The ledger: append-only, double entry. An amount above zero credits the account, below zero debits it.
CREATE TABLE ledger_accounts (
  id text PRIMARY KEY,
  kind text NOT NULL CHECK (kind IN ('tenant', 'box', 'fleet')),
  created_at timestamptz NOT NULL DEFAULT now()
);
CREATE TABLE ledger_transfers (
  id text PRIMARY KEY,
  seq bigint GENERATED ALWAYS AS IDENTITY UNIQUE,
  kind text NOT NULL,
  idempotency_key text NOT NULL UNIQUE,
  request_sha256 bytea NOT NULL,
  memo text NOT NULL,
  created_at timestamptz NOT NULL DEFAULT now()
);
CREATE TABLE ledger_entries (
  transfer_id text NOT NULL REFERENCES ledger_transfers,
  account_id text NOT NULL REFERENCES ledger_accounts,
  amount bigint NOT NULL CHECK (amount <> 0),
  PRIMARY KEY (transfer_id, account_id)
);
CREATE INDEX ledger_entries_account ON ledger_entries (account_id, transfer_id);

-- Checked when the transaction commits, so that entries may be written in any order.
CREATE FUNCTION ledger_check_balance() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
  checked text := CASE TG_TABLE_NAME WHEN 'ledger_transfers' THEN to_jsonb(NEW) ->> 'id'
    ELSE to_jsonb(NEW) ->> 'transfer_id' END;
  total numeric;
  entries integer;
BEGIN
  SELECT coalesce(sum(amount), 0), count(*) INTO total, entries
    FROM ledger_entries WHERE transfer_id = checked;
  IF total <> 0 OR entries < 2 THEN
    RAISE EXCEPTION 'transfer % is not balanced: % entries, sum %', checked, entries, total
      USING ERRCODE = 'check_violation', CONSTRAINT = 'ledger_balanced';
  END IF;
  RETURN NULL;
END $$;
CREATE CONSTRAINT TRIGGER ledger_balanced AFTER INSERT ON ledger_entries
  DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION ledger_check_balance();
CREATE CONSTRAINT TRIGGER ledger_balanced AFTER INSERT ON ledger_transfers
  DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION ledger_check_balance();

CREATE FUNCTION ledger_refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION 'the ledger is append-only: correct it with a new transfer'
    USING ERRCODE = 'restrict_violation';
END $$;
CREATE TRIGGER ledger_append_only BEFORE UPDATE OR DELETE ON ledger_entries
  FOR EACH ROW EXECUTE FUNCTION ledger_refuse_change();
CREATE TRIGGER ledger_append_only BEFORE UPDATE OR DELETE ON ledger_transfers
  FOR EACH ROW EXECUTE FUNCTION ledger_refuse_change();
CREATE TRIGGER ledger_no_truncate BEFORE TRUNCATE ON ledger_entries EXECUTE FUNCTION ledger_refuse_change();
CREATE TRIGGER ledger_no_truncate BEFORE TRUNCATE ON ledger_transfers EXECUTE FUNCTION ledger_refuse_change();
