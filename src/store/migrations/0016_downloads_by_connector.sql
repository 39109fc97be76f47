-- Files are looked for connector by connector: however many wait of one that is paused, those of the others lie elsewhere.
DROP INDEX downloads_due;
CREATE INDEX downloads_due ON downloads (connector, next_ms, run_id, part);
CREATE INDEX downloads_late ON downloads (connector, since_ms);
