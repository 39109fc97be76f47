-- Queued runs that events gather into: each waits for further ones. A row goes when its run is taken, or ends.
CREATE TABLE gatherings (
    run_id     BLOB    NOT NULL PRIMARY KEY,
    -- 16 bytes of SHA-256 over source and group; none once it takes no more events.
    key        BLOB,
    session_id TEXT    NOT NULL,
    -- When nothing more is waited for, and the last moment to which events may put that off.
    due_ms     INTEGER NOT NULL,
    last_ms    INTEGER NOT NULL,
    -- Of each event, as they came: its position in the group, and how many parts of the input are its own. JSON.
    members    TEXT    NOT NULL
);
CREATE UNIQUE INDEX gatherings_open ON gatherings (key, session_id);
