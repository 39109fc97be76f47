-- Who performs the session's runs, fixed when it is made; empty: whoever is the default.
ALTER TABLE sessions ADD COLUMN executor TEXT NOT NULL DEFAULT '';
DROP INDEX sessions_ready;
CREATE INDEX sessions_ready ON sessions (executor, ready_at, id) WHERE state = 1;
