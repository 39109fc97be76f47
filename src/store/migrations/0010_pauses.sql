-- failed: probes of this pause that found the connector still locked out; each makes the wait for the next one longer.
ALTER TABLE delivery_pauses ADD COLUMN failed INTEGER NOT NULL DEFAULT 0;
-- Claims go owner by owner while some of them are paused, so that paused lanes need not be read, and need not be written
-- when a pause begins or ends.
CREATE INDEX lanes_of_owner ON lanes (owner, ready_at, id) WHERE state = 1 AND held IS NULL;
