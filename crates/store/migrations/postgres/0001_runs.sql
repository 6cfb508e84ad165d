-- part: together
-- Times are UTC milliseconds. JSON is text, never jsonb: an escaped NUL must survive.

-- Agent definitions by digest. A run is pinned to one; an edited file strands nobody.
CREATE TABLE IF NOT EXISTS agents (
    digest     text   PRIMARY KEY,
    name       text   NOT NULL,
    definition text   NOT NULL,
    created_at bigint NOT NULL
);

-- One row per run: its fold (columns for what is searched by, `fold` for the whole), and who holds it.
-- Most steps change no column that an index knows, so with room in the page a new version of a row costs no index.
CREATE TABLE IF NOT EXISTS runs (
    id             uuid    PRIMARY KEY,           -- UUIDv7, so by time of launch
    tenant         text    NOT NULL,
    labels         text    NOT NULL,              -- JSON object of texts
    label_pairs    text[]  NOT NULL,              -- its members, each as JSON: what is searched by
    priority       integer NOT NULL,              -- higher goes first
    parent_run     uuid,
    forked_from    uuid,
    forked_at      bigint,                        -- the last event that was taken over
    agent_digest   text    NOT NULL,
    agent_name     text    NOT NULL,
    task           text    NOT NULL,              -- the beginning, for lists; the whole is in the first event
    status         text    NOT NULL,
    version        bigint  NOT NULL,              -- number of events
    reducer        bigint  NOT NULL,              -- version of the reducer that made `fold`
    fold           text    NOT NULL,
    owner          text,                          -- worker that holds the run
    epoch          bigint  NOT NULL,              -- grows with every claim; fences every write of a worker
    attempt        bigint  NOT NULL,              -- tries at the step under way
    commit_epoch   bigint  NOT NULL,              -- key of the last commit a worker made
    commit_ordinal bigint  NOT NULL,
    deaths         bigint  NOT NULL DEFAULT 0,    -- workers that this run took down
    suspect        text,                          -- the worker that died while it was polling this run
    claimed_at     bigint,                        -- when its owner took it
    asked_at       bigint,                        -- since when it waits for a human
    created_at     bigint  NOT NULL,
    updated_at     bigint  NOT NULL,
    finished_at    bigint
) WITH (fillfactor = 60, autovacuum_vacuum_scale_factor = 0.02);

CREATE INDEX IF NOT EXISTS runs_by_status ON runs (status, id);
CREATE INDEX IF NOT EXISTS runs_owned ON runs (owner) WHERE owner IS NOT NULL;
CREATE INDEX IF NOT EXISTS runs_runnable ON runs (id) WHERE status IN ('running', 'cancelling');
CREATE INDEX IF NOT EXISTS runs_asking ON runs (asked_at) WHERE asked_at IS NOT NULL;
CREATE INDEX IF NOT EXISTS runs_labelled ON runs USING gin (label_pairs) WHERE label_pairs <> '{}';
CREATE INDEX IF NOT EXISTS runs_suspect ON runs (suspect) WHERE suspect IS NOT NULL;

-- What happened. Appended, never edited.
CREATE TABLE IF NOT EXISTS events (
    run   uuid    NOT NULL,
    seq   bigint  NOT NULL,                       -- from 1 in each run
    at    bigint  NOT NULL,
    type  text    NOT NULL,
    v     bigint  NOT NULL,                       -- format of `body`
    body  text    NOT NULL,
    epoch bigint,                                 -- of the worker that wrote it; NULL: a command
    PRIMARY KEY (run, seq)
);

-- Wake-ups: at most one per run, and only while one is due. The run says what there is to do. Rows live for moments:
-- vacuum has to come by number, not by share.
CREATE TABLE IF NOT EXISTS jobs (
    run         uuid    PRIMARY KEY,
    kind        text    NOT NULL CHECK (kind IN ('launch', 'resume', 'answer', 'step')),
    tenant      text    NOT NULL,
    priority    integer NOT NULL,
    due_at      bigint  NOT NULL,
    enqueued_at bigint  NOT NULL
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000,
        autovacuum_vacuum_cost_delay = 0);

CREATE INDEX IF NOT EXISTS jobs_due ON jobs (priority DESC, due_at, run);

-- Worker incarnations, one lease each.
CREATE TABLE IF NOT EXISTS workers (
    id          text   PRIMARY KEY,
    host        text   NOT NULL,
    pid         bigint NOT NULL,
    concurrency bigint NOT NULL,
    version     text   NOT NULL,
    started_at  bigint NOT NULL,
    lease_ms    bigint NOT NULL,                  -- how long the others wait for a sign of life
    expires_at  bigint NOT NULL                   -- for people: the others wait by their own clocks
) WITH (fillfactor = 50);

-- Attempts that ended with their worker, for whoever looks into a run.
CREATE TABLE IF NOT EXISTS lost_attempts (
    run       uuid    NOT NULL,
    epoch     bigint  NOT NULL,
    attempt   bigint  NOT NULL,
    worker    text    NOT NULL,
    version   bigint  NOT NULL,                   -- events the run had
    at        bigint  NOT NULL,
    how       text    NOT NULL,                   -- how the worker ended, for people
    suspected boolean NOT NULL DEFAULT false,     -- the run may have taken it down, and has made no whole step since
    blamed    boolean NOT NULL DEFAULT false,     -- the run took it down
    PRIMARY KEY (run, epoch)
);

CREATE INDEX IF NOT EXISTS lost_attempts_by_worker ON lost_attempts (worker text_pattern_ops);

-- Tool outputs that were cut for the model, in full. In parts, so that reading one takes little memory; as bytes,
-- because text holds no NUL here.
CREATE TABLE IF NOT EXISTS outputs (
    run  uuid   NOT NULL,
    call text   NOT NULL,
    part bigint NOT NULL,                         -- from 0
    body bytea  NOT NULL,
    PRIMARY KEY (run, call, part)
);

CREATE TABLE IF NOT EXISTS idempotency_keys (
    tenant      text   NOT NULL,
    key         text   NOT NULL,
    body_sha256 text   NOT NULL,
    run         uuid   NOT NULL,
    created_at  bigint NOT NULL,
    PRIMARY KEY (tenant, key)
);

CREATE INDEX IF NOT EXISTS idempotency_keys_by_age ON idempotency_keys (created_at);
