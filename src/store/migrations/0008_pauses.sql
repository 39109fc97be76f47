-- failed: probes of this pause that found the connector still locked out; each makes the wait for the next one longer.
ALTER TABLE delivery_pauses ADD COLUMN failed INTEGER NOT NULL DEFAULT 0;
