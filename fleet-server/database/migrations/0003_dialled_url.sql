-- The address that was dialled: a box that names another one since is not known to be there.
ALTER TABLE boxes ADD COLUMN dialled_url text;
