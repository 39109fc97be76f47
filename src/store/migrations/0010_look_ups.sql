-- A part whose status is 3 and whose next_ms is set waits to be looked up at its platform, or is being looked up, since then.
-- look_ups: how often in a row.
ALTER TABLE deliveries ADD COLUMN look_ups INTEGER NOT NULL DEFAULT 0;
CREATE INDEX deliveries_sought ON deliveries (lane_id, seq) WHERE status = 3 AND next_ms IS NOT NULL;
