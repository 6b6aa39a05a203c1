-- What is over goes after a while, oldest first. A check outlives its command: it remembers which question was put.
ALTER TABLE spot_checks DROP CONSTRAINT spot_checks_command_id_fkey;
CREATE INDEX commands_over ON commands (coalesce(ended_at, expires_at));
CREATE INDEX spot_checks_asked ON spot_checks (asked_at);
CREATE INDEX away_sessions_created ON away_sessions (created_at);
