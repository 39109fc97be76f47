-- Bytes of uploaded files lie in the folder `assets` of the state folder, and data is empty; files that came with events have theirs
-- here. counted: references to it are rows of asset_refs. Older files are not, and stay.
ALTER TABLE assets ADD COLUMN name TEXT;
ALTER TABLE assets ADD COLUMN size INTEGER NOT NULL DEFAULT 0;
ALTER TABLE assets ADD COLUMN in_folder INTEGER NOT NULL DEFAULT 0;
ALTER TABLE assets ADD COLUMN counted INTEGER NOT NULL DEFAULT 0;
UPDATE assets SET size = LENGTH(data);

-- Bytes of all files together, in its only row; every change of a row of assets changes it in the same transaction.
CREATE TABLE asset_total (
    id    INTEGER PRIMARY KEY CHECK (id = 1),
    bytes INTEGER NOT NULL
);
INSERT INTO asset_total (id, bytes) SELECT 1, COALESCE(SUM(size), 0) FROM assets;
CREATE INDEX assets_by_age ON assets (created_ms) WHERE counted = 1;

-- Which runs hold a file, in their input or their outputs.
CREATE TABLE asset_refs (
    asset_id TEXT NOT NULL,
    run_id   BLOB NOT NULL,
    PRIMARY KEY (asset_id, run_id)
);
CREATE INDEX asset_refs_of_run ON asset_refs (run_id);
