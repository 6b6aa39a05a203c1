-- Where a relay carries dashboards to who is away from home; null: it has no certificate of its own, and carries none.
ALTER TABLE relays ADD COLUMN dashboard_url text;

-- Who came in to a box's dashboard from away, with the key its household made. Rows stay: they are the record of it.
CREATE TABLE away_sessions (
  secret_hash bytea PRIMARY KEY,
  box_id text NOT NULL REFERENCES boxes,
  -- The key that was shown: the session ends with it.
  key_sha256 text NOT NULL,
  client text NOT NULL,
  created_at timestamptz NOT NULL DEFAULT now(),
  seen_at timestamptz NOT NULL DEFAULT now(),
  ended_at timestamptz
);
CREATE INDEX away_sessions_box ON away_sessions (box_id, created_at);
