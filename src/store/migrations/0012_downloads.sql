-- Files of queued runs that are still on their platform. A row goes when its file is there, or is given up.
CREATE TABLE downloads (
    run_id     BLOB    NOT NULL,
    part       INTEGER NOT NULL,
    session_id TEXT    NOT NULL,
    connector  TEXT    NOT NULL,
    -- When it is due; while somebody fetches it, the end of the lease.
    next_ms    INTEGER NOT NULL,
    owner      TEXT,
    epoch      INTEGER NOT NULL,
    attempt    INTEGER NOT NULL,
    since_ms   INTEGER NOT NULL,
    PRIMARY KEY (run_id, part)
);
CREATE INDEX downloads_due ON downloads (next_ms);
CREATE INDEX downloads_of_session ON downloads (session_id);
