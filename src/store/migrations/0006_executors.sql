-- cancel_ms: when somebody asked for the end of a run that a worker holds. The run ends as cancelled, whatever the worker says.
-- usage: what the attempts consumed, JSON. NULL: their executor did not say.
ALTER TABLE runs ADD COLUMN cancel_ms INTEGER;
ALTER TABLE runs ADD COLUMN usage TEXT;
