-- Where a box says it takes TLS from outside (an address, not its name), and whether the fleet found there the
-- certificate it had got for the box.
ALTER TABLE boxes ADD COLUMN secure_url text;
ALTER TABLE boxes ADD COLUMN secure_ok boolean;
-- The relay has shaken hands with the box through this tunnel, as a client of the box's own name would.
ALTER TABLE relay_tunnels ADD COLUMN secure boolean NOT NULL DEFAULT false;
