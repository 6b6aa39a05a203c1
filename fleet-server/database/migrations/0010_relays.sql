-- Relays: the processes boxes dial to be reached. A row lives as long as its process says so every second.
CREATE TABLE relays (
  id text PRIMARY KEY,
  -- Where boxes dial (tls://host:port), and the URL clients are sent to for a box of this relay.
  tunnel_url text NOT NULL,
  public_url text NOT NULL,
  -- What the boxes' names resolve to while they are reached through it.
  addresses text[] NOT NULL,
  started_at timestamptz NOT NULL DEFAULT now(),
  seen_at timestamptz NOT NULL DEFAULT now(),
  -- It is about to stop: no box is to come, no client to be sent.
  draining boolean NOT NULL DEFAULT false
);

-- Which box is connected to which relay. The relay writes it once the box has said through the tunnel who it is.
CREATE TABLE relay_tunnels (
  relay_id text NOT NULL REFERENCES relays ON DELETE CASCADE,
  box_id text NOT NULL REFERENCES boxes,
  since timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (relay_id, box_id)
);
CREATE INDEX relay_tunnels_box ON relay_tunnels (box_id);

-- What was carried, by the relay's own count. It outlives the relay: it is evidence.
CREATE TABLE relay_counts (
  relay_id text NOT NULL,
  box_id text NOT NULL REFERENCES boxes,
  hour timestamptz NOT NULL,
  bytes bigint NOT NULL DEFAULT 0 CHECK (bytes >= 0),
  requests bigint NOT NULL DEFAULT 0 CHECK (requests >= 0),
  PRIMARY KEY (relay_id, box_id, hour)
);

-- A box's name below the fleet's box domain. Random, so that it says nothing of the household or the box's id.
ALTER TABLE boxes ADD COLUMN name_label text NOT NULL UNIQUE
  DEFAULT 'b' || substr(replace(gen_random_uuid()::text, '-', ''), 1, 15);
