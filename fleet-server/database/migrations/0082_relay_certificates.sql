-- Certificates for relays' own names in the zone, as for boxes: the key never leaves the relay.
CREATE TABLE relay_certificates (
  -- `<label>.<domain>`
  name_label text PRIMARY KEY,
  csr text NOT NULL,
  state text NOT NULL CHECK (state IN ('waiting', 'issued')),
  attempts integer NOT NULL DEFAULT 0,
  next_try_at timestamptz NOT NULL DEFAULT now(),
  problem text,
  problem_code text,
  failing_since timestamptz,
  chain text,
  issued_at timestamptz,
  expires_at timestamptz,
  CHECK (state = 'waiting' OR (chain IS NOT NULL AND expires_at IS NOT NULL))
);
-- Which of these names leads to a relay; null: none.
ALTER TABLE relays ADD COLUMN name_label text;
