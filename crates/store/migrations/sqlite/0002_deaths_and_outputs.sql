-- The worker that died while it was polling this run: the run goes on in a worker of its own until a step of it is
-- whole. NULL: nothing is held against it.
ALTER TABLE runs ADD COLUMN suspect TEXT;

CREATE INDEX runs_suspect ON runs (suspect) WHERE suspect IS NOT NULL;

-- When its owner took it: an owned run that has not moved since is one whose step may be over its limit.
ALTER TABLE runs ADD COLUMN claimed_at INTEGER;

-- How long the others wait for a sign of life. They wait by their own monotonic clocks: `expires_at` is for people.
ALTER TABLE workers ADD COLUMN lease_ms INTEGER NOT NULL DEFAULT 10000;

-- Attempts that ended with their worker, for whoever looks into a run.
CREATE TABLE lost_attempts (
    run       TEXT    NOT NULL,
    epoch     INTEGER NOT NULL,
    attempt   INTEGER NOT NULL,
    worker    TEXT    NOT NULL,
    version   INTEGER NOT NULL,                   -- events the run had
    at        INTEGER NOT NULL,
    how       TEXT    NOT NULL,                   -- how the worker ended, for people
    suspected INTEGER NOT NULL DEFAULT 0,         -- the run may have taken it down, and has made no whole step since
    blamed    INTEGER NOT NULL DEFAULT 0,         -- the run took it down
    PRIMARY KEY (run, epoch)
) STRICT, WITHOUT ROWID;

CREATE INDEX lost_attempts_by_worker ON lost_attempts (worker);

-- Tool outputs that were cut for the model, in full. In parts, so that reading one takes little memory.
CREATE TABLE outputs (
    run  TEXT    NOT NULL,
    call TEXT    NOT NULL,
    part INTEGER NOT NULL,                        -- from 0
    body TEXT    NOT NULL,
    PRIMARY KEY (run, call, part)
) STRICT, WITHOUT ROWID;
