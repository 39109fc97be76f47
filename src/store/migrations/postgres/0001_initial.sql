-- Times are milliseconds since 1970. Ids of runs and deliveries are UUIDs (version 7) of 16 bytes.

-- A line of runs; the only row that a worker locks to take one. state: 0 idle, 1 ready, 2 leased.
CREATE TABLE sessions (
    id          TEXT    NOT NULL PRIMARY KEY,
    state       BIGINT NOT NULL CHECK (state BETWEEN 0 AND 2),
    ready_at    BIGINT NOT NULL,
    epoch       BIGINT NOT NULL,
    lease_owner TEXT,
    lease_until BIGINT,
    queued      BIGINT NOT NULL CHECK (queued >= 0),
    last_seq    BIGINT NOT NULL,
    created_ms  BIGINT NOT NULL,
    updated_ms  BIGINT NOT NULL
);
CREATE INDEX sessions_ready ON sessions (ready_at, id) WHERE state = 1;
CREATE INDEX sessions_leased ON sessions (lease_until) WHERE state = 2;

-- Further names of a conversation.
CREATE TABLE bindings (
    key        TEXT NOT NULL PRIMARY KEY,
    session_id TEXT NOT NULL
);

-- Proof that an event was accepted: 16 bytes of SHA-256 over source and key, SHA-256 of the fingerprint.
CREATE TABLE receipts (
    key         BYTEA  NOT NULL PRIMARY KEY,
    fingerprint BYTEA  NOT NULL,
    run_id      BYTEA  NOT NULL,
    accepted_ms BIGINT NOT NULL
);

-- status: 0 queued, 1 running, 2 completed, 3 failed, 4 cancelled.
CREATE TABLE runs (
    id            BYTEA  NOT NULL PRIMARY KEY,
    session_id    TEXT    NOT NULL,
    seq           BIGINT NOT NULL,
    status        BIGINT NOT NULL CHECK (status BETWEEN 0 AND 4),
    epoch         BIGINT NOT NULL,
    attempt       BIGINT NOT NULL,
    source_plugin TEXT    NOT NULL,
    source_kind   TEXT    NOT NULL,
    actor         TEXT,
    input         TEXT    NOT NULL,
    metadata      TEXT    NOT NULL,
    reply_targets TEXT    NOT NULL,
    submitted_ms  BIGINT NOT NULL,
    started_ms    BIGINT,
    finished_ms   BIGINT,
    error_code    TEXT,
    error_detail  TEXT
);
CREATE UNIQUE INDEX runs_in_session ON runs (session_id, seq);
CREATE INDEX runs_queued ON runs (session_id, seq) WHERE status = 0;
-- The backstop of "one active run per session", not its mechanism.
CREATE UNIQUE INDEX runs_active ON runs (session_id) WHERE status = 1;

-- What executors said, by attempt: outputs of an attempt that lost its lease are never delivered.
CREATE TABLE outputs (
    run_id     BYTEA  NOT NULL,
    epoch      BIGINT NOT NULL,
    ordinal    BIGINT NOT NULL,
    content    TEXT    NOT NULL,
    created_ms BIGINT NOT NULL,
    PRIMARY KEY (run_id, epoch, ordinal)
);

-- A line of deliveries to one address; the same columns as sessions, for the same statements.
CREATE TABLE lanes (
    id          TEXT    NOT NULL PRIMARY KEY,
    state       BIGINT NOT NULL CHECK (state BETWEEN 0 AND 2),
    ready_at    BIGINT NOT NULL,
    epoch       BIGINT NOT NULL,
    lease_owner TEXT,
    lease_until BIGINT,
    queued      BIGINT NOT NULL CHECK (queued >= 0),
    last_seq    BIGINT NOT NULL,
    created_ms  BIGINT NOT NULL,
    updated_ms  BIGINT NOT NULL
);
CREATE INDEX lanes_ready ON lanes (ready_at, id) WHERE state = 1;
CREATE INDEX lanes_leased ON lanes (lease_until) WHERE state = 2;

-- One row for each part of a delivery. status: 0 pending, 1 sending, 2 delivered, 3 unknown, 4 dead, 5 cancelled.
CREATE TABLE deliveries (
    id           BYTEA  NOT NULL,
    part         BIGINT NOT NULL,
    run_id       BYTEA  NOT NULL,
    session_id   TEXT    NOT NULL,
    run_epoch    BIGINT NOT NULL,
    ordinal      BIGINT NOT NULL,
    plugin       TEXT    NOT NULL,
    address      TEXT    NOT NULL,
    lane_id      TEXT    NOT NULL,
    seq          BIGINT NOT NULL,
    status       BIGINT NOT NULL CHECK (status BETWEEN 0 AND 5),
    epoch        BIGINT NOT NULL,
    attempt      BIGINT NOT NULL,
    next_ms      BIGINT,
    created_ms   BIGINT NOT NULL,
    sending_ms   BIGINT,
    ended_ms     BIGINT,
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
    value     BYTEA NOT NULL,
    PRIMARY KEY (connector, key)
);

-- Files that came with events; the id is the SHA-256 of the bytes.
CREATE TABLE assets (
    id         TEXT    NOT NULL PRIMARY KEY,
    media_type TEXT    NOT NULL,
    data       BYTEA  NOT NULL,
    created_ms BIGINT NOT NULL
);
