-- How many boxes are to hold an asset, whichever they are. look_at: there may be fewer by then.
CREATE TABLE wanted_copies (
  asset_id text PRIMARY KEY REFERENCES assets ON DELETE CASCADE,
  copies integer NOT NULL CHECK (copies > 0),
  pinned boolean NOT NULL,
  expires_at timestamptz,
  look_at timestamptz
);
CREATE INDEX wanted_copies_look ON wanted_copies (look_at) WHERE look_at IS NOT NULL;

-- What a box has put out lately: it is not given it back soon.
CREATE TABLE evictions (
  asset_id text NOT NULL REFERENCES assets ON DELETE CASCADE,
  box_id text NOT NULL REFERENCES boxes,
  evicted_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (asset_id, box_id)
);
CREATE INDEX evictions_at ON evictions (evicted_at);

-- Boxes that have been away so long that what they hold counts as no copy.
CREATE TABLE lost_boxes (
  box_id text PRIMARY KEY REFERENCES boxes,
  since timestamptz NOT NULL DEFAULT now()
);
