-- No run of a session before this place waits. A claim moves it, and finds its run from there: an index of the runs that wait
-- costs each event a page that nothing else touches.
ALTER TABLE sessions ADD COLUMN front INTEGER NOT NULL DEFAULT 0;
UPDATE sessions SET front = last_seq + 1 WHERE state = 0;
DROP INDEX runs_queued;
