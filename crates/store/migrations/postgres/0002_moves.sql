-- Where the runs of this database are going or went ('to'), and where they came from ('from').
CREATE TABLE moves (
    way       text   PRIMARY KEY CHECK (way IN ('to', 'from')),
    id        text   NOT NULL,                    -- the same at both ends
    place     text   NOT NULL,                    -- the other database's URL, without a password
    stage     text   NOT NULL CHECK (stage IN ('copying', 'draining', 'closed', 'done')),
    until     bigint NOT NULL DEFAULT 0,          -- draining or closed: how long, unless it is prolonged
    copied_to text   NOT NULL DEFAULT '',         -- at the target: runs up to this id were copied once
    began_at  bigint NOT NULL,
    done_at   bigint
);

-- Runs that changed since they were copied. Triggers write it, which are there while runs are being moved.
CREATE TABLE moves_touched (
    run   uuid   PRIMARY KEY,
    times bigint NOT NULL
);
