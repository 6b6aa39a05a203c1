-- Certificates for boxes' own names. A row is a request that is brought to its end, whoever dies meanwhile.
CREATE TABLE box_certificates (
  box_id text PRIMARY KEY REFERENCES boxes,
  -- PKCS#10 in PEM: the key never left the box.
  csr text NOT NULL,
  state text NOT NULL CHECK (state IN ('waiting', 'issued')),
  attempts integer NOT NULL DEFAULT 0,
  next_try_at timestamptz NOT NULL DEFAULT now(),
  -- Why the last try failed.
  problem text,
  -- PEM, leaf first.
  chain text,
  issued_at timestamptz,
  expires_at timestamptz,
  CHECK (state = 'waiting' OR (chain IS NOT NULL AND expires_at IS NOT NULL))
);
CREATE INDEX box_certificates_due ON box_certificates (next_try_at) WHERE state = 'waiting';
CREATE INDEX box_certificates_issued ON box_certificates (issued_at) WHERE issued_at IS NOT NULL;

-- What the CA is to find by DNS-01 now. Several may stand at one name.
CREATE TABLE acme_challenges (
  name_label text NOT NULL,
  value text NOT NULL,
  created_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (name_label, value)
);
