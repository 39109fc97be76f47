-- 1: input and metadata of the run were given up because of their age.
ALTER TABLE runs ADD COLUMN body_pruned INTEGER NOT NULL DEFAULT 0;
-- Names of a session that is forgotten. Names are made once for each conversation, so that this costs events nothing.
CREATE INDEX bindings_of_session ON bindings (session_id);
