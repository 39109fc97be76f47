-- A row of deliveries is a part. parts: how many there are of this delivery. text: the part's own text; NULL is the whole
-- output. artifact: JSON {asset_id, name, media_type, size} where the part is a file. detail: what the receipt says beside
-- platform_ref, JSON. origin: the delivery that the idempotency key names; NULL is this one. resolved_ms, resolution: an
-- operator said that nothing is left to do.
ALTER TABLE deliveries ADD COLUMN parts INTEGER NOT NULL DEFAULT 1;
ALTER TABLE deliveries ADD COLUMN text TEXT;
ALTER TABLE deliveries ADD COLUMN artifact TEXT;
ALTER TABLE deliveries ADD COLUMN detail TEXT;
ALTER TABLE deliveries ADD COLUMN origin BLOB;
ALTER TABLE deliveries ADD COLUMN replayed_from BLOB;
ALTER TABLE deliveries ADD COLUMN resolved_ms INTEGER;
ALTER TABLE deliveries ADD COLUMN resolution TEXT;
CREATE INDEX deliveries_replayed ON deliveries (replayed_from) WHERE replayed_from IS NOT NULL;
CREATE INDEX deliveries_of_session ON deliveries (session_id, id);

-- Files that go out with an output: a JSON array of {asset_id, name, media_type, size}.
ALTER TABLE outputs ADD COLUMN artifacts TEXT NOT NULL DEFAULT '[]';

-- owner: `kind/name` of the connector, or `http`. failures: retryable ones without a success between. open_until: the
-- breaker is open. held: the delivery whose unknown part holds the lane.
ALTER TABLE lanes ADD COLUMN owner TEXT NOT NULL DEFAULT '';
ALTER TABLE lanes ADD COLUMN failures INTEGER NOT NULL DEFAULT 0;
ALTER TABLE lanes ADD COLUMN open_until INTEGER;
ALTER TABLE lanes ADD COLUMN held BLOB;
DROP INDEX lanes_ready;
CREATE INDEX lanes_ready ON lanes (ready_at, id) WHERE state = 1 AND held IS NULL;
CREATE INDEX lanes_troubled ON lanes (owner) WHERE open_until IS NOT NULL OR held IS NOT NULL;

-- Connectors that are locked out, until somebody mends them or a probe succeeds.
CREATE TABLE delivery_pauses (
    connector TEXT    NOT NULL PRIMARY KEY,
    code      TEXT    NOT NULL,
    detail    TEXT    NOT NULL,
    since_ms  INTEGER NOT NULL,
    probe_ms  INTEGER NOT NULL
) WITHOUT ROWID;

-- Attempts that did not succeed, for people.
CREATE TABLE delivery_attempts (
    delivery_id BLOB    NOT NULL,
    part        INTEGER NOT NULL,
    attempt     INTEGER NOT NULL,
    started_ms  INTEGER NOT NULL,
    ended_ms    INTEGER NOT NULL,
    outcome     TEXT    NOT NULL,
    code        TEXT    NOT NULL,
    detail      TEXT    NOT NULL,
    PRIMARY KEY (delivery_id, part, ended_ms)
) WITHOUT ROWID;
