-- Where the runs of this database are going or went ('to'), and where they came from ('from').
CREATE TABLE moves (
    way       TEXT    NOT NULL PRIMARY KEY CHECK (way IN ('to', 'from')),
    id        TEXT    NOT NULL,                   -- the same at both ends
    place     TEXT    NOT NULL,                   -- the other database's URL, without a password
    stage     TEXT    NOT NULL CHECK (stage IN ('copying', 'draining', 'closed', 'done')),
    until     INTEGER NOT NULL DEFAULT 0,         -- draining or closed: how long, unless it is prolonged
    copied_to TEXT    NOT NULL DEFAULT '',        -- at the target: runs up to this id were copied once
    began_at  INTEGER NOT NULL,
    done_at   INTEGER
) STRICT;

-- Runs that changed since they were copied. Triggers write it, which are there while runs are being moved.
CREATE TABLE moves_touched (
    run   TEXT    NOT NULL PRIMARY KEY,
    times INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
