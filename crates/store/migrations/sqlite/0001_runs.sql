-- Times are UTC milliseconds. JSON is text, never jsonb: an escaped NUL must survive.

-- Agent definitions by digest. A run is pinned to one; an edited file strands nobody.
CREATE TABLE agents (
    digest     TEXT    NOT NULL PRIMARY KEY,
    name       TEXT    NOT NULL,
    definition TEXT    NOT NULL,
    created_at INTEGER NOT NULL
) STRICT;

-- One row per run: its fold (columns for what is searched by, `fold` for the whole), and who holds it.
CREATE TABLE runs (
    id             TEXT    NOT NULL PRIMARY KEY,  -- UUIDv7, so by time of launch
    tenant         TEXT    NOT NULL,
    labels         TEXT    NOT NULL,              -- JSON object of texts
    priority       INTEGER NOT NULL,              -- higher goes first
    parent_run     TEXT,
    forked_from    TEXT,                          -- run id
    forked_at      INTEGER,                       -- the last event that was taken over
    agent_digest   TEXT    NOT NULL,
    agent_name     TEXT    NOT NULL,
    task           TEXT    NOT NULL,              -- the beginning, for lists; the whole is in the first event
    status         TEXT    NOT NULL,
    version        INTEGER NOT NULL,              -- number of events
    reducer        INTEGER NOT NULL,              -- version of the reducer that made `fold`
    fold           TEXT    NOT NULL,
    owner          TEXT,                          -- worker that holds the run
    epoch          INTEGER NOT NULL,              -- grows with every claim; fences every write of a worker
    attempt        INTEGER NOT NULL,              -- tries at the step under way
    commit_epoch   INTEGER NOT NULL,              -- key of the last commit a worker made
    commit_ordinal INTEGER NOT NULL,
    deaths         INTEGER NOT NULL DEFAULT 0,    -- workers that this run took down
    created_at     INTEGER NOT NULL,
    updated_at     INTEGER NOT NULL,
    finished_at    INTEGER
) STRICT;

CREATE INDEX runs_by_status ON runs (status, id);
CREATE INDEX runs_owned ON runs (owner) WHERE owner IS NOT NULL;
CREATE INDEX runs_runnable ON runs (id) WHERE status IN ('running', 'cancelling');
CREATE INDEX runs_asking ON runs (updated_at) WHERE status IN ('waiting_human_input', 'undecided');

-- What happened. Appended, never edited.
CREATE TABLE events (
    run     TEXT    NOT NULL,
    seq     INTEGER NOT NULL,                     -- from 1 in each run
    at      INTEGER NOT NULL,
    type    TEXT    NOT NULL,
    v       INTEGER NOT NULL,                     -- format of `body`
    body    TEXT    NOT NULL,
    epoch   INTEGER,                              -- of the worker that wrote it; NULL: a command
    PRIMARY KEY (run, seq)
) STRICT, WITHOUT ROWID;

-- Wake-ups: at most one per run, and only while one is due. The run says what there is to do.
CREATE TABLE jobs (
    run         TEXT    NOT NULL PRIMARY KEY,
    kind        TEXT    NOT NULL CHECK (kind IN ('launch', 'resume', 'answer', 'step')),
    tenant      TEXT    NOT NULL,
    priority    INTEGER NOT NULL,
    due_at      INTEGER NOT NULL,
    enqueued_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX jobs_due ON jobs (priority DESC, due_at, run);

-- Worker incarnations, one lease each.
CREATE TABLE workers (
    id          TEXT    NOT NULL PRIMARY KEY,
    host        TEXT    NOT NULL,
    pid         INTEGER NOT NULL,
    concurrency INTEGER NOT NULL,
    version     TEXT    NOT NULL,
    started_at  INTEGER NOT NULL,
    expires_at  INTEGER NOT NULL
) STRICT;

CREATE TABLE idempotency_keys (
    tenant      TEXT    NOT NULL,
    key         TEXT    NOT NULL,
    body_sha256 TEXT    NOT NULL,
    run         TEXT    NOT NULL,
    created_at  INTEGER NOT NULL,
    PRIMARY KEY (tenant, key)
) STRICT, WITHOUT ROWID;

CREATE INDEX idempotency_keys_by_age ON idempotency_keys (created_at);
