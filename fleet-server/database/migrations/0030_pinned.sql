-- A placement that the box must not evict, whatever the room.
ALTER TABLE placements ADD COLUMN pinned boolean NOT NULL DEFAULT false;
