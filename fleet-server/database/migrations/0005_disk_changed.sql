-- When the box's disk last changed its state: what the box refused before may go well now.
ALTER TABLE boxes ADD COLUMN disk_changed_at timestamptz;
