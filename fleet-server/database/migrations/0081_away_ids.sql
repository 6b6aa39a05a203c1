-- What a session is called where it is listed and ended: neither its secret nor what can be made of it.
ALTER TABLE away_sessions ADD COLUMN id uuid NOT NULL DEFAULT gen_random_uuid();
CREATE UNIQUE INDEX away_sessions_id ON away_sessions (id);
