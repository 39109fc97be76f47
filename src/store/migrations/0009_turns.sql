-- owner: `kind/name` of the connector, or the origin of the URL; `http` where a lane is older than this step.
UPDATE lanes SET owner = 'http' WHERE owner = '';
-- Who owns what is ready is read from the index alone: SQLite wants the columns of the condition in it for that.
DROP INDEX lanes_ready;
CREATE INDEX lanes_ready ON lanes (ready_at, id, owner, state, held) WHERE state = 1 AND held IS NULL;
-- From owner to owner in one step each, however many lanes of one are ready.
CREATE INDEX lanes_of_owner ON lanes (owner, ready_at, id, state, held) WHERE state = 1 AND held IS NULL;
