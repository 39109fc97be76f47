-- Times are milliseconds since 1970. Ids of runs and deliveries are UUIDs (version 7) of 16 bytes.

-- A line of runs; the only row that a worker locks to take one. state: 0 idle, 1 ready, 2 leased.
CREATE TABLE sessions (
    id          TEXT    NOT NULL PRIMARY KEY,
    state       INTEGER NOT NULL CHECK (state BETWEEN 0 AND 2),
    ready_at    INTEGER NOT NULL,
    epoch       INTEGER NOT NULL,
    lease_owner TEXT,
    lease_until INTEGER,
    queued      INTEGER NOT NULL CHECK (queued >= 0),
    last_seq    INTEGER NOT NULL,
    created_ms  INTEGER NOT NULL,
    updated_ms  INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX sessions_ready ON sessions (ready_at, id) WHERE state = 1;
CREATE INDEX sessions_leased ON sessions (lease_until) WHERE state = 2;

-- Further names of a conversation.
CREATE TABLE bindings (
    key        TEXT NOT NULL PRIMARY KEY,
    session_id TEXT NOT NULL
) WITHOUT ROWID;

-- Proof that an event was accepted: 16 bytes of SHA-256 over source and key, SHA-256 of the fingerprint.
CREATE TABLE receipts (
    key         BLOB    NOT NULL PRIMARY KEY,
    fingerprint BLOB    NOT NULL,
    run_id      BLOB    NOT NULL,
    accepted_ms INTEGER NOT NULL
) WITHOUT ROWID;

-- status: 0 queued, 1 running, 2 completed, 3 failed, 4 cancelled.
CREATE TABLE runs (
    id            BLOB    NOT NULL PRIMARY KEY,
    session_id    TEXT    NOT NULL,
    seq           INTEGER NOT NULL,
    status        INTEGER NOT NULL CHECK (status BETWEEN 0 AND 4),
    epoch         INTEGER NOT NULL,
    attempt       INTEGER NOT NULL,
    source_plugin TEXT    NOT NULL,
    source_kind   TEXT    NOT NULL,
    actor         TEXT,
    input         TEXT    NOT NULL,
    metadata      TEXT    NOT NULL,
    reply_targets TEXT    NOT NULL,
    submitted_ms  INTEGER NOT NULL,
    started_ms    INTEGER,
    finished_ms   INTEGER,
    error_code    TEXT,
    error_detail  TEXT
);
CREATE UNIQUE INDEX runs_in_session ON runs (session_id, seq);
CREATE INDEX runs_queued ON runs (session_id, seq) WHERE status = 0;
-- The backstop of "one active run per session", not its mechanism.
CREATE UNIQUE INDEX runs_active ON runs (session_id) WHERE status = 1;

-- What executors said, by attempt: outputs of an attempt that lost its lease are never delivered.
CREATE TABLE outputs (
    run_id     BLOB    NOT NULL,
    epoch      INTEGER NOT NULL,
    ordinal    INTEGER NOT NULL,
    content    TEXT    NOT NULL,
    created_ms INTEGER NOT NULL,
    PRIMARY KEY (run_id, epoch, ordinal)
);

-- A line of deliveries to one address; the same columns as sessions, for the same statements.
CREATE TABLE lanes (
    id          TEXT    NOT NULL PRIMARY KEY,
    state       INTEGER NOT NULL CHECK (state BETWEEN 0 AND 2),
    ready_at    INTEGER NOT NULL,
    epoch       INTEGER NOT NULL,
    lease_owner TEXT,
    lease_until INTEGER,
    queued      INTEGER NOT NULL CHECK (queued >= 0),
    last_seq    INTEGER NOT NULL,
    created_ms  INTEGER NOT NULL,
    updated_ms  INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX lanes_ready ON lanes (ready_at, id) WHERE state = 1;
CREATE INDEX lanes_leased ON lanes (lease_until) WHERE state = 2;

-- One row for each part of a delivery. status: 0 pending, 1 sending, 2 delivered, 3 unknown, 4 dead, 5 cancelled.
CREATE TABLE deliveries (
    id           BLOB    NOT NULL,
    part         INTEGER NOT NULL,
    run_id       BLOB    NOT NULL,
    session_id   TEXT    NOT NULL,
    run_epoch    INTEGER NOT NULL,
    ordinal      INTEGER NOT NULL,
    plugin       TEXT    NOT NULL,
    address      TEXT    NOT NULL,
    lane_id      TEXT    NOT NULL,
    seq          INTEGER NOT NULL,
    status       INTEGER NOT NULL CHECK (status BETWEEN 0 AND 5),
    epoch        INTEGER NOT NULL,
    attempt      INTEGER NOT NULL,
    next_ms      INTEGER,
    created_ms   INTEGER NOT NULL,
    sending_ms   INTEGER,
    ended_ms     INTEGER,
    platform_ref TEXT,
    error_code   TEXT,
    error_detail TEXT,
    PRIMARY KEY (id, part)
);
CREATE INDEX deliveries_pending ON deliveries (lane_id, seq) WHERE status = 0;
CREATE INDEX deliveries_of_run ON deliveries (run_id);

-- Durable state of connectors.
CREATE TABLE key_values (
    connector TEXT NOT NULL,
    key       TEXT NOT NULL,
    value     BLOB NOT NULL,
    PRIMARY KEY (connector, key)
) WITHOUT ROWID;

-- Files that came with events; the id is the SHA-256 of the bytes.
CREATE TABLE assets (
    id         TEXT    NOT NULL PRIMARY KEY,
    media_type TEXT    NOT NULL,
    data       BLOB    NOT NULL,
    created_ms INTEGER NOT NULL
);
