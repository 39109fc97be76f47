-- What exactly one of several daemons does. A row stays when nobody has the duty, so that its epoch never comes again.
CREATE TABLE duties (
    name     TEXT    NOT NULL PRIMARY KEY,
    owner    TEXT    NOT NULL,
    -- One more each time that somebody takes it.
    epoch    INTEGER NOT NULL,
    -- Until when nobody else takes it.
    until_ms INTEGER NOT NULL
) WITHOUT ROWID;
