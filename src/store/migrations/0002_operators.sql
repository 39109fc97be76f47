-- Connectors that were made through the API. definition is JSON and holds no secret value.
CREATE TABLE connectors (
    kind       TEXT    NOT NULL,
    name       TEXT    NOT NULL,
    revision   INTEGER NOT NULL,
    definition TEXT    NOT NULL,
    created_ms INTEGER NOT NULL,
    updated_ms INTEGER NOT NULL,
    PRIMARY KEY (kind, name)
) WITHOUT ROWID;

-- Keys that seal secrets, each wrapped by the master key, whose id stands in front.
CREATE TABLE data_keys (
    id         INTEGER NOT NULL PRIMARY KEY,
    wrapped    BLOB    NOT NULL,
    created_ms INTEGER NOT NULL
);

-- Secrets, sealed under a data key; name and version are part of what is authenticated.
CREATE TABLE secrets (
    name       TEXT    NOT NULL PRIMARY KEY,
    version    INTEGER NOT NULL,
    key_id     INTEGER NOT NULL,
    sealed     BLOB    NOT NULL,
    created_ms INTEGER NOT NULL,
    updated_ms INTEGER NOT NULL
) WITHOUT ROWID;

-- What happened, in the order of commits, for streams that resume. The id: seconds since 1970 at the daemon's start in the upper
-- half, a counter in the lower.
CREATE TABLE events (
    id         INTEGER NOT NULL PRIMARY KEY,
    at_ms      INTEGER NOT NULL,
    name       TEXT    NOT NULL,
    session_id TEXT,
    run_id     BLOB,
    data       TEXT    NOT NULL
);

-- Where outputs of a session go when nothing else says. notice: what was taken out of the list, and why.
CREATE TABLE session_targets (
    session_id TEXT    NOT NULL PRIMARY KEY,
    targets    TEXT    NOT NULL,
    notice     TEXT,
    updated_ms INTEGER NOT NULL
) WITHOUT ROWID;

CREATE INDEX deliveries_waiting ON deliveries (created_ms) WHERE status < 2;
CREATE INDEX deliveries_unresolved ON deliveries (status) WHERE status IN (3, 4);
