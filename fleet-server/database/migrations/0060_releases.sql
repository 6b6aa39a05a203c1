-- Signed metadata as it was signed, by its TUF file name. The fleet stores it; the keys are elsewhere.
CREATE TABLE release_metadata (
  name text PRIMARY KEY,
  content text NOT NULL,
  published_at timestamptz NOT NULL DEFAULT now()
);
-- Executables by SHA-256, in pieces: every process of the fleet can serve them.
CREATE TABLE release_artefacts (
  sha256 text PRIMARY KEY,
  size_bytes bigint NOT NULL CHECK (size_bytes > 0),
  uploaded_at timestamptz NOT NULL DEFAULT now()
);
CREATE TABLE release_pieces (
  sha256 text NOT NULL REFERENCES release_artefacts ON DELETE CASCADE,
  piece integer NOT NULL,
  content bytea NOT NULL,
  PRIMARY KEY (sha256, piece)
);
ALTER TABLE release_pieces ALTER COLUMN content SET STORAGE EXTERNAL;

-- How each box stands with updates, by its own word. No row: it has never said that it can be updated.
CREATE TABLE box_updates (
  box_id text PRIMARY KEY REFERENCES boxes,
  reported_at timestamptz NOT NULL DEFAULT now(),
  report jsonb NOT NULL
);

CREATE TABLE rollouts (
  id text PRIMARY KEY,
  version text NOT NULL,
  -- Where boxes go back to when it is rolled back; null: nowhere.
  back_to text,
  state text NOT NULL CHECK (state IN
    ('running', 'paused', 'halted', 'rolling_back', 'finished', 'rolled_back', 'cancelled')),
  wave integer NOT NULL DEFAULT 0,
  -- Since when the wave has had its successes: the soak counts from here.
  wave_met_at timestamptz,
  plan jsonb NOT NULL,
  reason text,
  created_at timestamptz NOT NULL DEFAULT now(),
  ended_at timestamptz
);
-- One at a time: two would give a box two answers.
CREATE UNIQUE INDEX rollouts_one_active ON rollouts ((true))
  WHERE state IN ('running', 'paused', 'halted', 'rolling_back');
CREATE TABLE rollout_targets (
  rollout_id text NOT NULL REFERENCES rollouts,
  box_id text NOT NULL REFERENCES boxes,
  wave integer NOT NULL,
  state text NOT NULL DEFAULT 'pending' CHECK (state IN
    ('pending', 'ordered', 'updated', 'failed', 'reverting', 'reverted', 'dropped')),
  -- Part of the update's id, so that a second try is another update.
  attempt integer NOT NULL DEFAULT 1,
  from_version text,
  reason_code text,
  reason_message text,
  ordered_at timestamptz,
  changed_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (rollout_id, box_id)
);
CREATE INDEX rollout_targets_box ON rollout_targets (box_id);
CREATE TABLE rollout_events (
  id bigserial PRIMARY KEY,
  rollout_id text NOT NULL REFERENCES rollouts,
  at timestamptz NOT NULL DEFAULT now(),
  kind text NOT NULL,
  box_id text REFERENCES boxes,
  -- The operator who did it; null: it came about by itself.
  operator text,
  detail text NOT NULL DEFAULT ''
);
CREATE INDEX rollout_events_of ON rollout_events (rollout_id, id DESC);
