-- What the tenant was charged for a line: a tenant's balance cannot be told apart by site. For lines settled before
-- this it is not known.
ALTER TABLE delivery_lines ADD COLUMN charged bigint NOT NULL DEFAULT 0;
